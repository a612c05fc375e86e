//! Workflow commands, by which a CI server annotates a run: those of GitHub, which Gitea's runner supports too.
//! <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>

/// Returns true on a CI server that reads workflow commands.
#[must_use]
pub fn is_ci_server() -> bool {
    ["GITHUB_ACTIONS", "GITEA_ACTIONS"].iter().any(|name| std::env::var(name).is_ok_and(|value| value == "true"))
}

/// Escapes the text of a workflow command.
#[must_use]
pub fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
#[must_use]
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn characters_that_end_a_command_or_a_property_are_escaped() {
        assert_eq!(data("50%\r\n::error::x"), "50%25%0D%0A::error::x");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
    }
}
