//! Names that look like ours and are not: a slip of the pen, or somebody else's.

use strsim::levenshtein;

use super::{Env, Problems};
use contract::VARIABLES;

/// What our own variables begin with.
const PREFIXES: [&str; 3] = ["BOOT_", "SCHEMA_", "MIGRATION_"];
/// Set by the image itself, so it is in no table for operators.
const OF_THE_IMAGE: &str = "BOOT_IMAGE";
/// How many letters a slip of the pen gets wrong at most.
const SLIP: usize = 2;

/// Adds a problem for each name that was probably meant to be one of ours, and returns a warning for each other: a
/// platform may set variables of its own (`BOOT_ID`), which is no reason to refuse to start.
pub(super) fn unknown_names(env: &Env, problems: &mut Problems) -> Vec<String> {
    let mut warnings = Vec::new();
    for full_name in env.names().filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))) {
        let name = full_name.strip_suffix("_FILE").unwrap_or(full_name);
        let known = || VARIABLES.iter().map(|variable| variable.name).chain([OF_THE_IMAGE]);
        if known().any(|known| known == full_name || known == name) {
            continue;
        }
        // The whole name first: `…_FILE` is the end of some names themselves.
        let near = known().flat_map(|known| [full_name, name].map(|name| (levenshtein(name, known), known))).min();
        match near {
            Some((slip, known)) if slip <= SLIP => {
                problems.add(format!("{full_name} is unknown: did you mean {known}?"));
            }
            _ => warnings.push(format!("{full_name} is no variable of this image: it does nothing here")),
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(name: &str) -> (String, Vec<String>) {
        let env: Env = [(name.to_owned(), "1".to_owned())].into_iter().collect();
        let mut problems = Problems::default();
        let warnings = unknown_names(&env, &mut problems);
        (problems.to_string(), warnings)
    }

    #[test]
    fn a_slip_of_the_pen_is_a_problem_that_names_what_was_meant() {
        for (name, meant) in [
            ("SCHEMA_APLY_MODE", "SCHEMA_APPLY_MODE"),
            ("BOOT_LOCK_TIMEOUTS", "BOOT_LOCK_TIMEOUT"),
            ("MIGRATION_LCOK_TRIES", "MIGRATION_LOCK_TRIES"),
            ("BOOT_SNAPSHOT_FIEL", "BOOT_SNAPSHOT_FILE"),
            ("BOOT_DB_HOSTS_FILE", "BOOT_DB_HOST"),
        ] {
            assert_eq!(judge(name), (format!("{name} is unknown: did you mean {meant}?"), vec![]));
        }
    }

    #[test]
    fn what_is_far_from_all_of_ours_is_only_mentioned() {
        for name in ["BOOT_ID", "SCHEMA_REGISTRY_URL", "MIGRATION_JOB"] {
            let (problems, warnings) = judge(name);
            assert_eq!((problems.as_str(), warnings.len()), ("", 1), "{name}");
        }
    }

    #[test]
    fn known_names_and_others_prefixes_are_no_news() {
        for name in ["BOOT_IMAGE", "BOOT_DB_HOST_FILE", "BOOT_SNAPSHOT_FILE", "MIGRATIONS_PATH", "SCHEMA_APPLY_MODE"] {
            assert_eq!(judge(name), (String::new(), vec![]), "{name}");
        }
    }
}
