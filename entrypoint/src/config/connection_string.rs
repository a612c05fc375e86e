//! `DB_CONNECTION_STRING`, read as Directus reads it: by knex, with pg-connection-string 2.6.
//!
//! The driver's own parser accepts other URLs and interprets some differently. A URL with which Directus would connect to
//! another server is refused (knex takes any text that is not a URL for a file name, and pg then connects to localhost).

use crate::secret::Secret;

/// The form of a URL, for messages.
const FORM: &str = "postgres://user:password@host:5432/database";

/// A `postgres://` URL in parts, percent-decoded. Missing parts are `None`.
pub(super) struct ConnectionString {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) parameters: Parameters,
    /// `postgres://user:password@`, still encoded.
    head: String,
    /// `/database?a=b`, still encoded.
    tail: String,
    /// The password, still encoded: the log must not contain it in this form either.
    raw_password: Option<Secret>,
}

/// The parameters of a URL.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Returns the last value of that name; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rfind(|(other, _)| other == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

impl ConnectionString {
    /// Parses a URL.
    ///
    /// # Errors
    /// The problem and its remedy, without any part of the text, which is secret.
    pub(super) fn parse(text: &str) -> Result<ConnectionString, String> {
        if text.starts_with('/') || text.starts_with("socket:") {
            return Err("is the path of a socket, which Directus does not support here: \
                        write postgres:///database?host=/folder&user=name"
                .to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(not_a_url)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(not_a_url());
        }
        check_characters(rest)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, server) = match authority.rsplit_once('@') {
            Some((userinfo, server)) => (Some(userinfo), server),
            None if tail.contains('@') => return Err(encode("/ and ? in the password as %2F and %3F")),
            None => (None, authority),
        };
        let (user, raw_password) = match userinfo.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((user, password)) => (user, password),
            None => ("", ""),
        };
        if server.starts_with('[') {
            return Err("has an IPv6 address as its host, which Directus cannot read in a URL: \
                        write postgres://user:password@host/database?host=<address>"
                .to_owned());
        }
        let (host, port) = server.split_once(':').unwrap_or((server, ""));
        if host.is_empty() && (userinfo.is_some() || server.contains(':')) {
            return Err(format!("does not name a host: {FORM}"));
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let mut string = ConnectionString {
            user: some(decode(user)?),
            password: some(decode(raw_password)?).map(Secret::new),
            host: some(decode(host)?),
            port: read_port(port)?,
            database: some(decode_except(path.strip_prefix('/').unwrap_or(path), RESERVED)?),
            parameters: parameters(query)?,
            head: format!("{scheme}://{}", userinfo.map(|text| format!("{text}@")).unwrap_or_default()),
            tail: tail.to_owned(),
            raw_password: some(raw_password.to_owned()).map(Secret::new),
        };
        string.apply_parameters(host)?;
        match &string.host {
            Some(host) if host.contains(',') => {
                Err("names several hosts, but Directus connects to only one: keep one".to_owned())
            }
            Some(host) if host.contains(['<', '>', '^', '|', '\\', ':']) && !is_address(host) => Err(not_a_url()),
            _ => Ok(string),
        }
    }

    /// Replaces parts of the URL by the parameters that override them.
    fn apply_parameters(&mut self, raw_host: &str) -> Result<(), String> {
        for name in ["replication", "connectionString"] {
            if self.parameters.get(name).is_some() {
                return Err(format!("has the parameter {name}, which the boot does not support: remove it"));
            }
        }
        let [user, password, host, port] =
            ["user", "password", "host", "port"].map(|name| self.parameters.get(name).map(str::to_owned));
        if host.is_some() && raw_host.to_ascii_lowercase().starts_with("%2f") {
            return Err("names a socket and the parameter host: keep one".to_owned());
        }
        if let Some(password) = password {
            self.password = Some(Secret::new(password));
        }
        if let Some(port) = port {
            self.port = read_port(&port)?;
        }
        self.user = user.or_else(|| self.user.take());
        self.host = host.or_else(|| self.host.take());
        Ok(())
    }

    /// Returns the same URL for another server, and for another role, which is a name and a password.
    pub(super) fn with(&self, host: &str, port: u16, role: Option<&(String, String)>) -> String {
        // As parameters, which override the parts before them: only a parameter can hold every kind of host. The
        // placeholder `server` is required by the syntax, but never looked up.
        let separator = if self.tail.contains('?') { '&' } else { '?' };
        let mut url = format!("{}server{}{separator}host={}&port={port}", self.head, self.tail, percent_encode(host));
        if let Some((user, password)) = role {
            url += &format!("&user={}&password={}", percent_encode(user), percent_encode(password));
        }
        url
    }

    /// The password, decoded and encoded.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &Secret> {
        self.password.iter().chain(&self.raw_password)
    }
}

fn not_a_url() -> String {
    format!("is not a URL of the form {FORM}")
}

/// The characters that `decodeURI` leaves encoded; pg-connection-string decodes the database's name with it.
const RESERVED: &[u8] = b";/?:@&=+$,#";

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

fn encode(remedy: &str) -> String {
    format!("must be percent-encoded: write {remedy}")
}

fn read_port(text: &str) -> Result<Option<u16>, String> {
    match text.parse::<u16>() {
        _ if text.is_empty() => Ok(None),
        Ok(port) if port > 0 => Ok(Some(port)),
        // Without the text, which may be the end of the password.
        _ => Err(format!(
            "has a port that is not a number from 1 to 65535: {FORM}, with / ? # @ and : in the password percent-encoded"
        )),
    }
}

/// Refuses characters that are not allowed in a URL, or that Directus misinterprets.
fn check_characters(text: &str) -> Result<(), String> {
    if text.contains(|character: char| character.is_control() || character == ' ') {
        return Err(encode("a space as %20, and remove line breaks"));
    }
    if text.contains('#') {
        return Err(encode("# as %23"));
    }
    let bytes = text.as_bytes();
    let is_broken = (0..bytes.len()).any(|at| bytes[at] == b'%' && hex(bytes, at).is_none());
    if is_broken { Err(encode("% as %25")) } else { Ok(()) }
}

/// Returns the byte that the two digits after the `%` at that index encode.
fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    u8::try_from(hex_digit(bytes, at + 1)? * 16 + hex_digit(bytes, at + 2)?).ok()
}

fn hex_digit(bytes: &[u8], at: usize) -> Option<u32> {
    char::from(*bytes.get(at)?).to_digit(16)
}

pub(super) fn decode(text: &str) -> Result<String, String> {
    decode_except(text, &[])
}

fn decode_except(text: &str, reserved: &[u8]) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match hex(bytes, at).filter(|byte| bytes[at] == b'%' && !reserved.contains(byte)) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_err(|_| encode("characters beyond ASCII as the bytes of their UTF-8"))
}

fn parameters(query: &str) -> Result<Parameters, String> {
    let query = query.replace('+', " ");
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut parameters = Parameters::default();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.0.push((decode(name)?, decode(value)?));
    }
    Ok(parameters)
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'/' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, password, host, port, database.
    type Parts = (Option<&'static str>, Option<&'static str>, Option<&'static str>, Option<u16>, Option<&'static str>);

    /// The results of `parse` of knex's pg-connection-string in Node.
    const READ: &[(&str, Parts)] = &[
        ("postgres://u:p@h:99/d", (Some("u"), Some("p"), Some("h"), Some(99), Some("d"))),
        ("postgresql://u:p@h/d", (Some("u"), Some("p"), Some("h"), None, Some("d"))),
        ("postgres://u%40x:p%2Fw%25%23@h/d%20e", (Some("u@x"), Some("p/w%#"), Some("h"), None, Some("d e"))),
        ("postgres://u:a:b@c@h/d", (Some("u"), Some("a:b@c"), Some("h"), None, Some("d"))),
        ("postgres://u:p%C3%B6@h/a%2Fb", (Some("u"), Some("pö"), Some("h"), None, Some("a%2Fb"))),
        ("postgres://h/d", (None, None, Some("h"), None, Some("d"))),
        ("postgres:///d?host=/run/pg&user=u", (Some("u"), None, Some("/run/pg"), None, Some("d"))),
        ("postgres://u:p@%2Frun%2Fpg/d", (Some("u"), Some("p"), Some("/run/pg"), None, Some("d"))),
        ("postgres://u:p@x:1/d?host=::1&port=2", (Some("u"), Some("p"), Some("::1"), Some(2), Some("d"))),
        ("postgres://u@h?password=a+b&password=c%2B", (Some("u"), Some("c+"), Some("h"), None, None)),
    ];

    #[test]
    fn parts_are_the_same_as_in_directus() {
        for (text, expected) in READ {
            let read = ConnectionString::parse(text).unwrap_or_else(|problem| panic!("{text} {problem}"));
            let password = read.password.as_ref().map(Secret::reveal);
            let parts = (read.user.as_deref(), password, read.host.as_deref(), read.port, read.database.as_deref());
            assert_eq!(parts, *expected, "{text}");
        }
    }

    #[test]
    fn a_url_that_directus_reads_differently_is_refused_without_quoting_it() {
        for (text, expected) in [
            ("hunter2", "is not a URL"),
            ("mysql://u:hunter2@h/d", "is not a URL"),
            ("/run/pg hunter2", "is the path of a socket"),
            ("socket:/run/pg?db=hunter2", "is the path of a socket"),
            ("postgres://u:hunter2/x@h/d", "write / and ?"),
            ("postgres://u:hunter2#x@h/d", "write # as %23"),
            ("postgres://u:hunter2%@h/d", "write % as %25"),
            ("postgres://u:hunter2 @h/d", "a space as %20"),
            ("postgres://u:hunter2@h:x/d", "has a port that is not a number"),
            ("postgres://u:hunter2@h:0/d", "has a port that is not a number"),
            ("postgres://u:hunter2@[::1]/d", "has an IPv6 address"),
            ("postgres://u:hunter2@/d", "does not name a host"),
            ("postgres://u:hunter2@a,b/d", "names several hosts"),
            ("postgres://u:hunter2@%2Frun/d?host=x", "keep one"),
            ("postgres://u:hunter2%FF@h/d", "UTF-8"),
            ("postgres://u:hunter2@h/d?replication=1", "the parameter replication"),
        ] {
            let problem = ConnectionString::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(problem.contains(expected), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn another_server_changes_only_the_server() {
        for (text, host) in [
            ("postgres://u:p%40@pooler:6432/d?sslmode=require", "db"),
            ("postgres://u:p%40@%2Frun%2Fpg/d", "::1"),
            ("postgres://u:p%40@x/d?host=pooler&port=1", "/run/postgresql"),
        ] {
            let before = ConnectionString::parse(text).expect("a good URL");
            let after = ConnectionString::parse(&before.with(host, 5433, None)).expect("still a good URL");
            assert_eq!((after.host.as_deref(), after.port), (Some(host), Some(5433)));
            assert_eq!(after.password.as_ref().map(Secret::reveal), Some("p@"));
            assert_eq!((&after.user, &after.database), (&before.user, &before.database));
        }
    }

    #[test]
    fn another_role_overrides_the_role_in_either_place() {
        let role = ("boot@x".to_owned(), "p+&w?".to_owned());
        for text in ["postgres://u:p%40@h:1/d", "postgres://u:p@h/d?user=v&password=w"] {
            let before = ConnectionString::parse(text).expect("a good URL");
            let after = ConnectionString::parse(&before.with("h", 1, Some(&role))).expect("still a good URL");
            assert_eq!(after.user.as_ref(), Some(&role.0), "{text}");
            assert_eq!(after.password.as_ref().map(Secret::reveal), Some(role.1.as_str()), "{text}");
            assert_eq!((after.host.as_deref(), after.port, after.database.as_deref()), (Some("h"), Some(1), Some("d")));
        }
    }
}
