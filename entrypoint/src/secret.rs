//! A string that does not show itself: passwords, tokens, connection strings. And what keeps such strings out of
//! words that others wrote: PostgreSQL and Node may repeat in an error what they were given.

use std::fmt;

/// A value that must never reach a log. `Debug` and `Display` print `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Secret(value)
    }

    /// The value itself, for the one place that needs it.
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

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";
/// A shorter one is left alone: to take every `s` out of a log would tell it, and the log would say nothing.
const SHORTEST: usize = 4;
/// One that is shorter than this is only replaced where it stands alone: a password `post` is not in `postgres`.
const LONG: usize = 8;

/// Takes secrets out of texts.
#[derive(Debug, Default)]
pub struct Redactor(Vec<Secret>);

impl Redactor {
    /// Knows these values from now on.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<Secret> = Vec::new();
        for value in values.into_iter().filter(|value| value.reveal().chars().count() >= SHORTEST) {
            // The longest first: a secret within another one would leave the other's rest.
            let shorter = |other: &Secret| other.reveal().len() < value.reveal().len();
            let place = secrets.iter().position(shorter).unwrap_or(secrets.len());
            secrets.insert(place, value);
        }
        Redactor(secrets)
    }

    /// The text without them.
    #[must_use]
    pub fn redact(&self, mut text: String) -> String {
        for secret in &self.0 {
            let secret = secret.reveal();
            if !text.contains(secret) {
                continue;
            }
            text = if secret.chars().count() >= LONG {
                text.replace(secret, REDACTED)
            } else {
                replace_alone(&text, secret)
            };
        }
        text
    }
}

fn replace_alone(text: &str, secret: &str) -> String {
    let in_word =
        |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    for (start, _) in text.match_indices(secret) {
        let after = start + secret.len();
        // A secret that begins with a sign is not part of the word before it.
        let joined_before = in_word(secret.chars().next()) && in_word(text[..start].chars().next_back());
        let joined_after = in_word(secret.chars().next_back()) && in_word(text[after..].chars().next());
        kept.push_str(&text[end..start]);
        kept.push_str(if joined_before || joined_after { secret } else { REDACTED });
        end = after;
    }
    kept.push_str(&text[end..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::{Redactor, Secret};

    fn redact(secrets: &[&str], text: &str) -> String {
        Redactor::new(secrets.iter().map(|secret| Secret::new((*secret).to_owned()))).redact(text.to_owned())
    }

    #[test]
    fn a_long_secret_is_taken_out_of_words_too() {
        assert_eq!(redact(&["hunter2-hunter2"], "xhunter2-hunter2y"), "x[redacted]y");
    }

    #[test]
    fn a_short_one_only_where_it_stands_alone() {
        assert_eq!(redact(&["post"], "postgres: password `post`, post"), "postgres: password `[redacted]`, [redacted]");
        assert_eq!(redact(&["p@s!"], "ap@s!b p@s!"), "ap@s!b [redacted]");
    }

    #[test]
    fn one_of_a_few_letters_is_left_alone() {
        assert_eq!(redact(&["s", "3"], "waiting, 3 s"), "waiting, 3 s");
    }

    #[test]
    fn a_secret_within_another_leaves_nothing_of_it() {
        assert_eq!(redact(&["hunter22", "hunter22-and-more"], "hunter22-and-more, hunter22"), "[redacted], [redacted]");
    }

    #[test]
    fn a_secret_shows_itself_in_no_format() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(!format!("{secret} {secret:?} {:#?}", Some(&secret)).contains("hunter2"));
    }
}
