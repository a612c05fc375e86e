//! Secret strings: passwords, tokens, connection strings. Also redacts them in messages of PostgreSQL and Node, which
//! may repeat their input in an error.

use std::fmt;

/// A value that must never reach a log. `Debug` and `Display` print `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Secret(value)
    }

    /// The value itself, for the code that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The replacement of a secret.
const REDACTED: &str = "[redacted]";
/// The number of characters below which a secret is not redacted: replacing every `s` would reveal it, and ruin the
/// log.
const MIN_LENGTH: usize = 4;
/// The number of characters below which a secret is only redacted as a whole word: a password `post` not in `postgres`.
const WORD_LENGTH: usize = 8;

/// Replaces secrets in texts.
#[derive(Debug, Default)]
pub struct Redactor(Vec<Secret>);

impl Redactor {
    /// Creates a redactor for these values; too short ones are ignored.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<Secret> = values.into_iter().collect();
        secrets.retain(|secret| secret.reveal().chars().count() >= MIN_LENGTH);
        // The longest first: replacing a part of another secret would leave the rest of it.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Redactor(secrets)
    }

    /// Returns the text without the secrets.
    #[must_use]
    pub fn redact(&self, mut text: String) -> String {
        for secret in &self.0 {
            let secret = secret.reveal();
            if !text.contains(secret) {
                continue;
            }
            text = if secret.chars().count() >= WORD_LENGTH {
                text.replace(secret, REDACTED)
            } else {
                replace_words(&text, secret)
            };
        }
        text
    }
}

fn replace_words(text: &str, secret: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    for (start, _) in text.match_indices(secret) {
        let after = start + secret.len();
        // A secret that begins with punctuation does not continue the word before it.
        let joined_before =
            is_word_character(secret.chars().next()) && is_word_character(text[..start].chars().next_back());
        let joined_after =
            is_word_character(secret.chars().next_back()) && is_word_character(text[after..].chars().next());
        kept.push_str(&text[end..start]);
        kept.push_str(if joined_before || joined_after { secret } else { REDACTED });
        end = after;
    }
    kept.push_str(&text[end..]);
    kept
}

fn is_word_character(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::{Redactor, Secret};

    fn redact(secrets: &[&str], text: &str) -> String {
        Redactor::new(secrets.iter().map(|secret| Secret::new((*secret).to_owned()))).redact(text.to_owned())
    }

    #[test]
    fn long_secret_is_redacted_inside_words() {
        assert_eq!(redact(&["hunter2-hunter2"], "xhunter2-hunter2y"), "x[redacted]y");
    }

    #[test]
    fn short_secret_is_only_redacted_as_a_whole_word() {
        assert_eq!(redact(&["post"], "postgres: password `post`, post"), "postgres: password `[redacted]`, [redacted]");
        assert_eq!(redact(&["p@s!"], "ap@s!b p@s!"), "ap@s!b [redacted]");
    }

    #[test]
    fn secret_of_a_few_characters_is_not_redacted() {
        assert_eq!(redact(&["s", "3"], "waiting, 3 s"), "waiting, 3 s");
    }

    #[test]
    fn secret_that_contains_another_is_redacted_completely() {
        assert_eq!(redact(&["hunter22", "hunter22-and-more"], "hunter22-and-more, hunter22"), "[redacted], [redacted]");
    }

    #[test]
    fn secret_is_redacted_in_all_formats() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(!format!("{secret} {secret:?} {:#?}", Some(&secret)).contains("hunter2"));
    }
}
