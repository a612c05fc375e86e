//! Unknown variables with one of our prefixes: misspelt ones, and those of the platform.

use strsim::levenshtein;

use super::{Env, Problems};
use contract::VARIABLES;

/// The prefixes of our own variables.
const PREFIXES: [&str; 3] = ["BOOT_", "SCHEMA_", "MIGRATION_"];
/// Set by the image itself, so it is not in the table for operators.
const OF_THE_IMAGE: &str = "BOOT_IMAGE";
/// Maximum edit distance at which a name counts as misspelt.
const MAX_TYPO_DISTANCE: usize = 2;

/// Adds a problem for each name that probably misspells one of ours, and returns a warning for each other: a platform may
/// set its own variables (`BOOT_ID`), which must not prevent the boot.
pub(super) fn unknown_names(env: &Env, problems: &mut Problems) -> Vec<String> {
    let mut warnings = Vec::new();
    for full_name in env.names().filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))) {
        let name = full_name.strip_suffix("_FILE").unwrap_or(full_name);
        if known_names().any(|known| known == full_name || known == name) {
            continue;
        }
        // The full name, too: some known names themselves end in `_FILE`.
        let distances = known_names().flat_map(|known| [full_name, name].map(|name| (levenshtein(name, known), known)));
        match distances.min() {
            Some((distance, known)) if distance <= MAX_TYPO_DISTANCE => {
                problems.add(format!("{full_name} is unknown: did you mean {known}?"));
            }
            _ => warnings.push(format!("{full_name} is not a variable of this image and has no effect")),
        }
    }
    warnings
}

fn known_names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|variable| variable.name).chain([OF_THE_IMAGE])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str) -> (String, Vec<String>) {
        let env = Env::of(&[(name, "1")]);
        let mut problems = Problems::default();
        let warnings = unknown_names(&env, &mut problems);
        (problems.to_string(), warnings)
    }

    #[test]
    fn a_misspelt_name_is_a_problem_that_suggests_the_known_one() {
        for (name, meant) in [
            ("SCHEMA_APLY_MODE", "SCHEMA_APPLY_MODE"),
            ("BOOT_LOCK_TIMEOUTS", "BOOT_LOCK_TIMEOUT"),
            ("MIGRATION_LCOK_TRIES", "MIGRATION_LOCK_TRIES"),
            ("BOOT_SNAPSHOT_FIEL", "BOOT_SNAPSHOT_FILE"),
            ("BOOT_DB_HOSTS_FILE", "BOOT_DB_HOST"),
        ] {
            assert_eq!(check(name), (format!("{name} is unknown: did you mean {meant}?"), vec![]));
        }
    }

    #[test]
    fn an_unrelated_name_is_only_a_warning() {
        for name in ["BOOT_ID", "SCHEMA_REGISTRY_URL", "MIGRATION_JOB"] {
            let (problems, warnings) = check(name);
            assert_eq!((problems.as_str(), warnings.len()), ("", 1), "{name}");
        }
    }

    #[test]
    fn known_names_and_other_prefixes_are_ignored() {
        for name in ["BOOT_IMAGE", "BOOT_DB_HOST_FILE", "BOOT_SNAPSHOT_FILE", "MIGRATIONS_PATH", "SCHEMA_APPLY_MODE"] {
            assert_eq!(check(name), (String::new(), vec![]), "{name}");
        }
    }
}
