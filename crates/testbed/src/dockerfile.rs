//! Reads the Dockerfile's global arguments, the only place that pins the base image.

use anyhow::{Context as _, bail};

use crate::workspace;

/// Returns the default of a global `ARG` of the Dockerfile.
pub fn argument(name: &str) -> anyhow::Result<String> {
    let path = workspace::path("Dockerfile");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let Some(value) = global_argument(&text, name) else { bail!("the Dockerfile has no global ARG {name}=…") };
    Ok(value.to_owned())
}

/// Returns the default of an `ARG` before the first `FROM`; later ones belong to a stage.
fn global_argument<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .map(str::trim)
        .take_while(|line| !instruction(line).eq_ignore_ascii_case("FROM"))
        .filter(|line| instruction(line).eq_ignore_ascii_case("ARG"))
        .filter_map(|line| line[3..].trim().split_once('='))
        .find(|(argument, _)| *argument == name)
        .map(|(_, value)| value.trim_matches(['"', '\'']))
}

fn instruction(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::{argument, global_argument};

    const TEXT: &str =
        "# ARG BASE=commented:1\nARG BASE=a/b:1.2\narg QUOTED=\"c:3\"\nARG BARE\nFROM ${BASE}\nARG LATE=d:4\n";

    #[test]
    fn a_global_argument_is_found_in_any_case_and_unquoted() {
        assert_eq!(global_argument(TEXT, "BASE"), Some("a/b:1.2"));
        assert_eq!(global_argument(TEXT, "QUOTED"), Some("c:3"));
    }

    #[test]
    fn an_argument_without_default_or_in_a_stage_is_not_found() {
        assert_eq!(global_argument(TEXT, "BARE"), None);
        assert_eq!(global_argument(TEXT, "LATE"), None);
    }

    #[test]
    fn our_dockerfile_pins_the_base_image() {
        assert!(argument("DIRECTUS_IMAGE").unwrap().starts_with("directus/directus:"));
    }

    #[test]
    fn the_advisories_were_reviewed_for_the_pin() {
        let pin = argument("DIRECTUS_IMAGE").unwrap();
        let reviewed = format!("directus/directus:{}", contract::REVIEWED_PIN);
        assert_eq!(pin, reviewed, "review the advisories in crates/contract/src/advisories.rs");
    }
}
