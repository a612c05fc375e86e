//! The values that must never reach the log.

use super::connection_string::ConnectionString;
use super::{Env, Problems};
use crate::secret::{Redactor, Secret};
use contract::VARIABLES;

/// Lines of a PEM that are shorter than this are its end, and tell nothing.
const PEM_LINE: usize = 16;

/// Collects them from the environment, and from the files that it names.
#[must_use]
pub fn redactor(env: &Env) -> Redactor {
    // What cannot be read is told when the configuration is.
    let read = |name: &str| env.get(name, &mut Problems::default());
    let mut secrets: Vec<String> = env.plain("PGPASSWORD").map(str::to_owned).into_iter().collect();
    for variable in VARIABLES.iter().filter(|variable| variable.secret) {
        // As it stands, too: a value that is refused for its form is no less secret.
        secrets.extend(env.plain(variable.name).map(str::to_owned));
        let Some(value) = read(variable.name) else { continue };
        if let Ok(string) = ConnectionString::parse(&value) {
            secrets.extend(string.passwords().map(|password| password.reveal().to_owned()));
        } else if let Some(password) = password_of_a_bad_url(&value) {
            secrets.push(password.to_owned());
        }
        if value.starts_with("-----BEGIN") {
            let lines = value.lines().filter(|line| line.len() >= PEM_LINE && !line.starts_with("-----"));
            secrets.extend(lines.map(str::to_owned));
        }
        secrets.push(value);
    }
    // Where a password equals what may be shown (role and password `directus`), to take it out would tell that it does.
    let shown: Vec<String> =
        VARIABLES.iter().filter(|variable| !variable.secret).filter_map(|variable| read(variable.name)).collect();
    Redactor::new(secrets.into_iter().filter(|secret| !shown.contains(secret)).map(Secret::new))
}

/// What stands between the first `:` and the last `@`, whatever else is wrong.
fn password_of_a_bad_url(url: &str) -> Option<&str> {
    let (userinfo, _) = url.split_once("://")?.1.rsplit_once('@')?;
    userinfo.split_once(':').map(|(_, password)| password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(variables: &[(&str, &str)], text: &str) -> String {
        let env: Env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        redactor(&env).redact(text.to_owned())
    }

    #[test]
    fn the_password_of_a_connection_string_is_known_in_both_forms() {
        let variables = [("DB_CONNECTION_STRING", "postgres://u:pass%40word@h/d?password=")];
        assert_eq!(redact(&variables, "pass%40word pass@word h"), "[redacted] [redacted] h");
        let variables = [("BOOT_DB_CONNECTION_STRING", "postgres://u:pass#word@h/d")];
        assert_eq!(redact(&variables, "pass#word at h"), "[redacted] at h");
    }

    #[test]
    fn every_line_of_a_key_is_known() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n";
        assert_eq!(redact(&[("DB_SSL__KEY", key)], "x MIGHAgEAMBMGByqGSM49AgEG"), "x [redacted]");
    }

    #[test]
    fn a_password_that_equals_the_role_does_not_give_itself_away() {
        let variables = [("DB_PASSWORD", "directus"), ("DB_USER", "directus"), ("SECRET", "directus-secret")];
        assert_eq!(redact(&variables, "role directus, directus-secret"), "role directus, [redacted]");
    }
}
