//! Variables that a known advisory of the pinned Directus makes dangerous.

use contract::{ADVISORIES, AdvisoryAnswer};

use super::{Env, Problems};

/// The variable by which the operator accepts one advisory.
const ACCEPT: &str = "BOOT_ACCEPT_ADVISORY";

/// Adds a problem for each dangerous variable, or returns a warning for it if the operator accepts the advisory.
pub(super) fn refuse_dangerous(env: &Env, problems: &mut Problems) -> Vec<String> {
    let accepted = env.get(ACCEPT, problems);
    let refused = ADVISORIES.iter().filter(|advisory| matches!(advisory.answer, AdvisoryAnswer::Refused { .. }));
    let ids: Vec<&str> = refused.map(|advisory| advisory.id).collect();
    if let Some(id) = accepted.as_deref().filter(|id| !ids.contains(id)) {
        problems.add(format!("{ACCEPT} is `{id}`: give {}, or unset it", ids.join(" or ")));
    }
    let mut warnings = Vec::new();
    for advisory in ADVISORIES {
        let AdvisoryAnswer::Refused { variables, value, instead } = advisory.answer else { continue };
        for name in variables {
            // Directus compares the value in lower case (`websocket/controllers/base.js`).
            if !env.get(name, problems).is_some_and(|set| set.eq_ignore_ascii_case(value)) {
                continue;
            }
            let id = advisory.id;
            let finding =
                format!("{name} is `{value}`, by which every caller can get full rights in this Directus ({id})");
            if accepted.as_deref() == Some(id) {
                warnings.push(format!("{finding}, and {ACCEPT} accepts that"));
            } else {
                problems.add(format!("{finding}: {instead}, or accept it with {ACCEPT}={id}"));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut problems = Problems::default();
        let warnings = refuse_dangerous(&Env::of(variables), &mut problems);
        (problems.to_string(), warnings)
    }

    #[test]
    fn public_websockets_are_refused_in_any_case_of_letters() {
        for (name, value) in [
            ("WEBSOCKETS_REST_AUTH", "public"),
            ("WEBSOCKETS_GRAPHQL_AUTH", "Public"),
            ("WEBSOCKETS_REST_AUTH", "string:public"),
        ] {
            let (problems, warnings) = check(&[(name, value)]);
            assert!(problems.starts_with(&format!("{name} is `public`")), "{problems}");
            assert!(problems.ends_with("BOOT_ACCEPT_ADVISORY=CVE-2026-126539"), "{problems}");
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn other_modes_and_the_log_socket_are_not_refused() {
        // Directus ignores the mode of the log socket and always uses `strict`.
        for variable in [("WEBSOCKETS_REST_AUTH", "handshake"), ("WEBSOCKETS_LOGS_AUTH", "public")] {
            assert_eq!(check(&[variable]), (String::new(), vec![]));
        }
    }

    #[test]
    fn an_accepted_advisory_is_a_warning() {
        let (problems, warnings) =
            check(&[("WEBSOCKETS_GRAPHQL_AUTH", "public"), ("BOOT_ACCEPT_ADVISORY", "CVE-2026-126539")]);
        assert_eq!(problems, "");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("CVE-2026-126539") && warnings[0].starts_with("WEBSOCKETS_GRAPHQL_AUTH"));
    }

    #[test]
    fn an_advisory_that_no_boot_refuses_cannot_be_accepted() {
        let (problems, _) = check(&[("BOOT_ACCEPT_ADVISORY", "CVE-2026-129239")]);
        assert_eq!(problems, "BOOT_ACCEPT_ADVISORY is `CVE-2026-129239`: give CVE-2026-126539, or unset it");
        let both = check(&[("WEBSOCKETS_REST_AUTH", "public"), ("BOOT_ACCEPT_ADVISORY", "true")]).0;
        assert!(
            both.starts_with("BOOT_ACCEPT_ADVISORY is `true`") && both.contains("; WEBSOCKETS_REST_AUTH"),
            "{both}"
        );
    }
}
