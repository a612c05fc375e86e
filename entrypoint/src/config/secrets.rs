//! The values that must never reach the log.

use super::connection_string::ConnectionString;
use super::{Env, Problems};
use crate::secret::{Redactor, Secret};
use contract::VARIABLES;

/// Minimum length of a PEM line that counts as secret; only the last line is shorter, and it reveals little.
const MIN_PEM_LINE: usize = 16;

/// Collects the secrets from the environment and from the files that it names.
#[must_use]
pub fn redactor(env: &Env) -> Redactor {
    let mut secrets: Vec<String> = env.plain("PGPASSWORD").map(str::to_owned).into_iter().collect();
    for variable in VARIABLES.iter().filter(|variable| variable.secret) {
        // The raw value, too, because a value in a wrong form is just as secret.
        secrets.extend(env.plain(variable.name).map(str::to_owned));
        let Some(value) = read(env, variable.name) else { continue };
        if let Ok(string) = ConnectionString::parse(&value) {
            secrets.extend(string.passwords().map(|password| password.reveal().to_owned()));
        } else if let Some(password) = password_of_a_bad_url(&value) {
            secrets.push(password.to_owned());
        }
        if value.starts_with("-----BEGIN") {
            let lines = value.lines().filter(|line| line.len() >= MIN_PEM_LINE && !line.starts_with("-----"));
            secrets.extend(lines.map(str::to_owned));
        }
        secrets.push(value);
    }
    // If a password equals a public value (role and password `directus`), redacting it would reveal that they are equal.
    let shown: Vec<String> =
        VARIABLES.iter().filter(|variable| !variable.secret).filter_map(|variable| read(env, variable.name)).collect();
    Redactor::new(secrets.into_iter().filter(|secret| !shown.contains(secret)).map(Secret::new))
}

/// Reads a variable without its problems, which are reported when the configuration is read.
fn read(env: &Env, name: &str) -> Option<String> {
    env.get(name, &mut Problems::default())
}

/// Returns the text between the first `:` and the last `@` of an invalid URL.
fn password_of_a_bad_url(url: &str) -> Option<&str> {
    let (userinfo, _) = url.split_once("://")?.1.rsplit_once('@')?;
    userinfo.split_once(':').map(|(_, password)| password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(variables: &[(&str, &str)], text: &str) -> String {
        let env = Env::of(variables);
        redactor(&env).redact(text.to_owned())
    }

    #[test]
    fn the_password_of_a_connection_string_is_redacted_in_both_forms() {
        let variables = [("DB_CONNECTION_STRING", "postgres://u:pass%40word@h/d?password=")];
        assert_eq!(redact(&variables, "pass%40word pass@word h"), "[redacted] [redacted] h");
        let variables = [("BOOT_DB_CONNECTION_STRING", "postgres://u:pass#word@h/d")];
        assert_eq!(redact(&variables, "pass#word at h"), "[redacted] at h");
    }

    #[test]
    fn every_line_of_a_key_is_redacted() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n";
        assert_eq!(redact(&[("DB_SSL__KEY", key)], "x MIGHAgEAMBMGByqGSM49AgEG"), "x [redacted]");
    }

    #[test]
    fn a_password_that_equals_the_role_is_not_redacted() {
        let variables = [("DB_PASSWORD", "directus"), ("DB_USER", "directus"), ("SECRET", "directus-secret")];
        assert_eq!(redact(&variables, "role directus, directus-secret"), "role directus, [redacted]");
    }
}
