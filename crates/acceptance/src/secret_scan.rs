//! Finds secrets that must not be in an image. Findings describe a secret and never contain it.

use contract::BUNDLE_DIR;

/// Names of files that contain credentials.
const NAMES: [&str; 10] = [
    ".env",
    ".npmrc",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.toml",
];
/// Folders that must not be in an image, with any content.
const FOLDERS: [&str; 5] = [".git", ".ssh", ".aws", ".docker", ".gnupg"];
/// Prefixes of well-known services' tokens, and the minimum number of letters and digits that follow.
const TOKENS: [(&str, usize); 8] = [
    ("AKIA", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("github_pat_", 20),
    ("glpat-", 18),
    ("npm_", 36),
    ("xoxb-", 10),
];

/// Describes the secret in a file, by its path and content.
pub(crate) fn in_file(path: &str, content: &[u8]) -> Option<String> {
    let mut folders = path.split('/').collect::<Vec<_>>();
    let name = folders.pop().unwrap_or_default();
    if NAMES.contains(&name) || name.starts_with(".env.") && !name.ends_with("example") {
        return Some("files of this name contain credentials".to_owned());
    }
    if let Some(folder) = folders.into_iter().find(|folder| FOLDERS.contains(folder)) {
        return Some(format!("it is in {folder}"));
    }
    let is_binary = content.contains(&0);
    let text = String::from_utf8_lossy(content);
    // A program that reads keys contains their first line; a key has a body, too.
    if path.starts_with(BUNDLE_DIR) {
        // Built from the base's own modules, whose documentation contains examples of tokens and URLs.
        return private_key(&text);
    }
    private_key(&text).or_else(|| token(&text)).or_else(|| if is_binary { None } else { url_password(&text) })
}

/// Describes the secret in a variable of an image, given as `NAME=value`.
pub(crate) fn in_variable(variable: &str) -> Option<String> {
    let (name, value) = variable.split_once('=')?;
    if is_secret_name(name) && !value.is_empty() {
        return Some(format!("{name} has a value"));
    }
    in_text(value).map(|secret| format!("{name}: {secret}"))
}

/// Describes the secret in an instruction or a label.
pub(crate) fn in_text(text: &str) -> Option<String> {
    private_key(text).or_else(|| token(text)).or_else(|| url_password(text)).or_else(|| assignment(text))
}

/// Returns true for names such as `SMTP_PASSWORD`, `ApiToken` and `AWS_SECRET_ACCESS_KEY`, but not for a `_FILE`.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let has_word = ["SECRET", "PASSWORD", "PASSWD", "TOKEN"].iter().any(|word| name.contains(word));
    let is_key = name.split('_').any(|part| matches!(part, "KEY" | "APIKEY"));
    (has_word || is_key) && !name.ends_with("_FILE")
}

fn private_key(text: &str) -> Option<String> {
    text.split("PRIVATE KEY-----").skip(1).any(begins_with_key).then(|| "it holds a private key".to_owned())
}

/// Returns true if the text begins with the body of a key, possibly after line breaks that are escaped as in JSON.
fn begins_with_key(text: &str) -> bool {
    let body = text.trim_start_matches(['\r', '\n', '\\', 'n', ' ']);
    body.chars().take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).count() >= 32
}

fn token(text: &str) -> Option<String> {
    TOKENS.iter().find_map(|(prefix, length)| {
        let found = text.split(prefix).skip(1).any(|rest| word_length(rest) >= *length);
        found.then(|| format!("it holds a likely token ({prefix}…)"))
    })
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

/// Finds URLs such as `postgres://name:password@host`.
fn url_password(text: &str) -> Option<String> {
    text.split("://").skip(1).any(has_password).then(|| "it holds a URL with a password".to_owned())
}

/// Returns true if the part of a URL after `://` has a password.
fn has_password(rest: &str) -> bool {
    let authority = rest.split(|c: char| c.is_whitespace() || "/\"'`<>,;()".contains(c)).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    password.is_some_and(|password| !password.is_empty() && is_literal(password))
}

/// Finds assignments such as `PASSWORD=x`, unless x is itself a variable.
fn assignment(text: &str) -> Option<String> {
    text.match_indices('=').find_map(|(at, _)| {
        let before = &text[..at];
        let from =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).map_or(0, |found| found + 1);
        // `rfind` returns the first byte of the character; all relevant separators have one byte.
        let name = before.get(from..)?;
        let value = text[at + 1..].trim_start_matches(['"', '\'']);
        let value = value.split(|c: char| c.is_whitespace() || "\"';&|".contains(c)).next().unwrap_or_default();
        (is_secret_name(name) && !value.is_empty() && is_literal(value)).then(|| format!("{name} is given a value"))
    })
}

/// Returns true unless the value refers to a variable or is a placeholder.
fn is_literal(value: &str) -> bool {
    !value.starts_with(['$', '{', '<', '%', '*', '…'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7yn3bRHQ5FHMQ12345678901234567890\n";

    #[test]
    fn files_are_recognised_by_name_folder_and_content() {
        for path in ["/directus/.env", "/directus/.env.production", "/root/.ssh/known", "/x/.git/config", "/.npmrc"] {
            assert!(in_file(path, b"").is_some(), "{path}");
        }
        assert!(in_file("/directus/notes", KEY.as_bytes()).is_some());
        assert!(in_file("/directus/url.json", br#"{"db": "postgres://directus:hunter2@db/x"}"#).is_some());
        let token = format!("token: {}{}", "ghp_", "a1".repeat(18));
        assert!(in_file("/directus/ci.yaml", token.as_bytes()).is_some());
    }

    #[test]
    fn lookalikes_are_not_secrets() {
        assert_eq!(in_file("/directus/.env.example", b"DB_PASSWORD=directus"), None);
        // A program that parses keys and URLs.
        assert_eq!(in_file("/bin/entrypoint", b"\0-----BEGIN PRIVATE KEY-----\0postgres://a:b@c\0"), None);
        assert_eq!(in_file("/directus/bridge.mjs", b"const url = `postgres://${user}:${password}@${host}`"), None);
        let example = format!("// AKIA{} in an example", "A".repeat(16));
        assert_eq!(in_file("/directus/bundle/chunk.js", example.as_bytes()), None);
        assert!(in_file("/directus/scripts/chunk.js", example.as_bytes()).is_some());
        assert_eq!(in_file("/directus/a.md", b"see https://example.com:8055/a@b and AKIA"), None);
        assert_eq!(in_text("RUN --mount=type=secret,id=ca,target=/run/ca.pem cargo build"), None);
        assert_eq!(in_text("CMD [\"node\", \"--stack-size=4000\", \"--key-file=/x\"]"), None);
    }

    #[test]
    fn variables_with_a_secret_name_and_a_value_are_found() {
        assert_eq!(in_variable("DB_PASSWORD=hunter2").as_deref(), Some("DB_PASSWORD has a value"));
        assert_eq!(in_variable("KEY=x").as_deref(), Some("KEY has a value"));
        assert_eq!(
            in_variable("DB_CONNECTION_STRING=postgres://a:b@c/d").as_deref().map(|s| s.contains("URL")),
            Some(true)
        );
        for fine in ["DB_PASSWORD=", "DB_PASSWORD_FILE=/run/secrets/db", "KEYBOARD=de", "PATH=/bin"] {
            assert_eq!(in_variable(fine), None, "{fine}");
        }
    }

    #[test]
    fn assignments_of_secrets_in_instructions_are_found() {
        for text in [
            "ARG DB_PASSWORD=hunter2",
            "RUN |1 NPM_TOKEN=abc /bin/sh -c npm ci",
            "RUN /bin/sh -c curl -H token='abc' x",
            "ENV API_KEY=\"abc\"",
        ] {
            let found = in_text(text).unwrap_or_else(|| panic!("{text}"));
            assert!(!found.contains("hunter2") && !found.contains("abc"), "{found}");
        }
        for fine in ["RUN echo \"$DB_PASSWORD\" TOKEN=$TOKEN", "ENV SECRET=", "ARG NODE_VERSION=22"] {
            assert_eq!(in_text(fine), None, "{fine}");
        }
    }
}
