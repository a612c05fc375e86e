//! Recognises secrets that have no place in an image. What is found is described, never shown.

use contract::BUNDLE_DIR;

/// Files that hold credentials by their very name.
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
/// Folders that have no place in an image, whatever is in them.
const FOLDERS: [&str; 5] = [".git", ".ssh", ".aws", ".docker", ".gnupg"];
/// How tokens of well-known services begin, and how many letters and digits follow at least.
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

/// What is secret about a file, by its path and content.
pub(crate) fn in_file(path: &str, content: &[u8]) -> Option<String> {
    let mut folders = path.split('/').collect::<Vec<_>>();
    let name = folders.pop().unwrap_or_default();
    if NAMES.contains(&name) || name.starts_with(".env.") && !name.ends_with("example") {
        return Some("its name is that of a file with credentials".to_owned());
    }
    if let Some(folder) = folders.into_iter().find(|folder| FOLDERS.contains(folder)) {
        return Some(format!("it lies in {folder}"));
    }
    let is_binary = content.contains(&0);
    let text = String::from_utf8_lossy(content);
    // A program that reads keys knows how they begin; a key goes on.
    if path.starts_with(BUNDLE_DIR) {
        // Made of the base's own modules, whose documentation has examples of tokens and URLs.
        return private_key(&text);
    }
    private_key(&text).or_else(|| token(&text)).or_else(|| if is_binary { None } else { url_password(&text) })
}

/// What is secret about a variable of an image, given as `NAME=value`.
pub(crate) fn in_variable(variable: &str) -> Option<String> {
    let (name, value) = variable.split_once('=')?;
    if is_secret_name(name) && !value.is_empty() {
        return Some(format!("{name} has a value"));
    }
    in_text(value).map(|what| format!("{name}: {what}"))
}

/// What is secret about an instruction or a label.
pub(crate) fn in_text(text: &str) -> Option<String> {
    private_key(text).or_else(|| token(text)).or_else(|| url_password(text)).or_else(|| assignment(text))
}

/// `SMTP_PASSWORD`, `ApiToken`, `AWS_SECRET_ACCESS_KEY`; the name of a file that holds a secret is none.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let says = ["SECRET", "PASSWORD", "PASSWD", "TOKEN"].iter().any(|word| name.contains(word));
    let is_key = name.split('_').any(|part| matches!(part, "KEY" | "APIKEY"));
    (says || is_key) && !name.ends_with("_FILE")
}

fn private_key(text: &str) -> Option<String> {
    let bodies = text.split("PRIVATE KEY-----").skip(1);
    let is_body = |rest: &str| {
        // Escaped line breaks, as in a variable or in JSON, are line breaks, too.
        let rest = rest.trim_start_matches(['\r', '\n', '\\', 'n', ' ']);
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).count() >= 32
    };
    bodies.into_iter().any(is_body).then(|| "it holds a private key".to_owned())
}

fn token(text: &str) -> Option<String> {
    TOKENS.iter().find_map(|(prefix, length)| {
        let is_token = |rest: &str| {
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count() >= *length
        };
        let found = text.split(prefix).skip(1).any(is_token);
        found.then(|| format!("it holds what looks like a token ({prefix}…)"))
    })
}

/// `postgres://name:password@host`.
fn url_password(text: &str) -> Option<String> {
    let has_password = |rest: &str| {
        let authority = rest.split(|c: char| c.is_whitespace() || "/\"'`<>,;()".contains(c)).next().unwrap_or_default();
        let password =
            authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && is_literal(password))
    };
    text.split("://").skip(1).any(has_password).then(|| "it holds a URL with a password".to_owned())
}

/// `PASSWORD=x`, unless x is itself a variable.
fn assignment(text: &str) -> Option<String> {
    text.match_indices('=').find_map(|(at, _)| {
        let before = &text[..at];
        let from =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).map_or(0, |found| found + 1);
        // `rfind` gives the beginning of the character; all separators of interest have one byte.
        let name = before.get(from..)?;
        let value = text[at + 1..].trim_start_matches(['"', '\'']);
        let value = value.split(|c: char| c.is_whitespace() || "\"';&|".contains(c)).next().unwrap_or_default();
        (is_secret_name(name) && !value.is_empty() && is_literal(value)).then(|| format!("{name} is given a value"))
    })
}

fn is_literal(value: &str) -> bool {
    !value.starts_with(['$', '{', '<', '%', '*', '…'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7yn3bRHQ5FHMQ12345678901234567890\n";

    #[test]
    fn files_are_known_by_name_folder_and_content() {
        for path in ["/directus/.env", "/directus/.env.production", "/root/.ssh/known", "/x/.git/config", "/.npmrc"] {
            assert!(in_file(path, b"").is_some(), "{path}");
        }
        assert!(in_file("/directus/notes", KEY.as_bytes()).is_some());
        assert!(in_file("/directus/url.json", br#"{"db": "postgres://directus:hunter2@db/x"}"#).is_some());
        let token = format!("token: {}{}", "ghp_", "a1".repeat(18));
        assert!(in_file("/directus/ci.yaml", token.as_bytes()).is_some());
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        assert_eq!(in_file("/directus/.env.example", b"DB_PASSWORD=directus"), None);
        // A program that reads keys and URLs.
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
    fn variables_with_a_secret_name_have_no_value() {
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
    fn instructions_assign_no_secret() {
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
