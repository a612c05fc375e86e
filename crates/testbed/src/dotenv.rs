//! Variables that a developer has set in the environment, or in the `.env` file that compose reads.

use anyhow::Context as _;

use crate::workspace;

/// Returns a variable's value as compose resolves it: the environment takes precedence over `.env`, and an empty value
/// counts as not set (compose's `:-`).
pub fn variable(name: &str) -> anyhow::Result<Option<String>> {
    let path = workspace::path(".env");
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("failed to read {path}")),
    };
    Ok(choose(std::env::var(name).ok(), &file, name))
}

fn choose(environment: Option<String>, file: &str, name: &str) -> Option<String> {
    environment.or_else(|| in_file(file, name).map(str::to_owned)).filter(|value| !value.is_empty())
}

/// The last line that sets the variable wins. Only plain values are parsed: ports and session options need no more.
fn in_file<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("export ").split_once('='))
        .filter(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.split(" #").next().unwrap_or("").trim().trim_matches(['"', '\'']))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_environment_takes_precedence_over_the_file() {
        assert_eq!(choose(Some("1".to_owned()), "PORT=2", "PORT").as_deref(), Some("1"));
        assert_eq!(choose(None, "PORT=2", "PORT").as_deref(), Some("2"));
    }

    #[test]
    fn an_empty_value_in_the_environment_hides_the_one_in_the_file() {
        assert_eq!(choose(Some(String::new()), "PORT=2", "PORT"), None);
    }

    #[test]
    fn comments_and_other_names_are_ignored_and_quotes_are_removed() {
        let file = "# PORT=1\nMY_PORT=2\nexport PORT=\"3\" # three\n";
        assert_eq!(choose(None, file, "PORT").as_deref(), Some("3"));
    }
}
