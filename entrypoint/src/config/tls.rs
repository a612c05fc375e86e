//! The encryption of the connection: `DB_SSL`, `DB_SSL__*`, the URL's `ssl…` parameters, `PGSSLMODE`, and the variables
//! that select Node's trusted authorities.

use std::net::IpAddr;
use std::path::Path;

use super::connection_string::Parameters;
use super::{Env, Problems};
use crate::database::{Pem, Roots, TlsClient, TlsOptions};
use crate::secret::Secret;

/// The files of a system's trusted certificates if `SSL_CERT_FILE` is not set: Debian, Red Hat, Alpine.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The configured encryption, before `PGSSLMODE`.
#[derive(Debug, Default)]
pub(super) enum Ssl {
    /// Not configured: `PGSSLMODE` decides.
    #[default]
    Unset,
    Off,
    On(Box<NodeOptions>),
}

/// The options of Node's `tls.connect`.
#[derive(Debug, Default)]
pub(super) struct NodeOptions {
    reject_unauthorized: Option<bool>,
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

impl NodeOptions {
    fn unchecked() -> Box<NodeOptions> {
        Box::new(NodeOptions { reject_unauthorized: Some(false), ..NodeOptions::default() })
    }
}

/// Names of `DB_SSL__…` that the boot supports, too.
const SUPPORTED: [&str; 5] = ["CA", "CERT", "KEY", "REJECT_UNAUTHORIZED", "SERVERNAME"];

/// Reads `DB_SSL` and `DB_SSL__*`.
pub(super) fn from_variables(env: &Env, problems: &mut Problems) -> Ssl {
    for name in env.names().filter(|name| name.starts_with("DB_SSL__")) {
        let option = name["DB_SSL__".len()..].trim_end_matches("_FILE");
        if !SUPPORTED.contains(&option) {
            problems.add(format!(
                "{name} is not supported, because the boot would connect differently from Directus: remove it"
            ));
        }
    }
    let options = Box::new(NodeOptions {
        reject_unauthorized: match env.get("DB_SSL__REJECT_UNAUTHORIZED", problems).as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                problems.add(format!("DB_SSL__REJECT_UNAUTHORIZED is `{other}`: give true or false"));
                None
            }
        },
        ca: env.get_text("DB_SSL__CA", problems).map(|text| Pem::new("DB_SSL__CA", text)),
        identity: identity_from_variables(env, problems),
        server_name: env.get_text("DB_SSL__SERVERNAME", problems),
    });
    let has_options = has_options(env);
    match env.get("DB_SSL", problems).as_deref() {
        None if has_options => Ssl::On(options),
        Some("true") => Ssl::On(options),
        Some("no-verify") if !has_options => Ssl::On(NodeOptions::unchecked()),
        Some("false" | "0") if !has_options => Ssl::Off,
        Some("false" | "0" | "no-verify") => {
            problems.add("DB_SSL contradicts the variables DB_SSL__…: set it to true, or remove them");
            Ssl::Unset
        }
        Some(other) => {
            problems.add(format!("DB_SSL is `{other}`: give true or false"));
            Ssl::Unset
        }
        // Directus reads an empty value as false, and uses PGSSLMODE only if DB_SSL is not set.
        None if env.is_empty("DB_SSL") => Ssl::Off,
        None => Ssl::Unset,
    }
}

/// Returns true if one of `DB_SSL__*` is set.
pub(super) fn has_options(env: &Env) -> bool {
    env.names().any(|name| name.starts_with("DB_SSL__") && env.plain(name).is_some())
}

fn identity_from_variables(env: &Env, problems: &mut Problems) -> Option<(Pem, Pem)> {
    let [certificate, key] =
        ["DB_SSL__CERT", "DB_SSL__KEY"].map(|name| Some(Pem::new(name, env.get_text(name, problems)?)));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) if !problems.mention("DB_SSL__KEY") => {
            problems.add("DB_SSL__KEY is not set, but DB_SSL__CERT is: set both or neither");
            None
        }
        (None, Some(_)) if !problems.mention("DB_SSL__CERT") => {
            problems.add("DB_SSL__CERT is not set, but DB_SSL__KEY is: set both or neither");
            None
        }
        _ => None,
    }
}

/// Reads the parameters of the connection string in `variable`.
///
/// Unlike in libpq, `sslmode=prefer`, `require` and `verify-ca` all verify the certificate and its name.
pub(super) fn from_parameters(parameters: &Parameters, variable: &str, problems: &mut Problems) -> Ssl {
    let files = ["sslrootcert", "sslcert", "sslkey"].map(|name| parameters.get(name));
    let reject_unauthorized = match parameters.get("sslmode") {
        None if files == [None; 3] => {
            return match parameters.get("ssl") {
                None => Ssl::Unset,
                Some("true" | "1") => Ssl::On(Box::default()),
                Some("no-verify") => Ssl::On(NodeOptions::unchecked()),
                Some("0") => Ssl::Off,
                Some(_) => {
                    problems.add(format!("{variable} has a parameter ssl that is neither true nor 0: use sslmode"));
                    Ssl::Unset
                }
            };
        }
        Some("disable") => return Ssl::Off,
        None | Some("prefer" | "require" | "verify-ca" | "verify-full") => None,
        Some("no-verify") => Some(false),
        Some(_) => {
            problems.add(format!(
                "{variable} has a parameter sslmode that Directus does not know: \
                 give disable, no-verify or verify-full"
            ));
            return Ssl::Unset;
        }
    };
    let [ca, certificate, key] = files.map(|path| path.map(|path| read_pem(path, variable, problems)));
    if certificate.is_some() != key.is_some() {
        problems.add(format!("{variable} has only one of sslcert and sslkey: give both or neither"));
    }
    Ssl::On(Box::new(NodeOptions {
        reject_unauthorized,
        ca: ca.flatten(),
        identity: certificate.flatten().zip(key.flatten()),
        server_name: None,
    }))
}

fn read_pem(path: &str, variable: &str, problems: &mut Problems) -> Option<Pem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(Pem::new(path, text)),
        Err(error) => {
            problems.add(format!("{variable}: cannot read {path}: {error}"));
            None
        }
    }
}

/// Returns the client for these settings; `None` for a plain connection. `host` is the server's name or address.
pub(super) fn client(ssl: Ssl, host: &str, env: &Env, problems: &mut Problems) -> Option<TlsClient> {
    let given = match ssl {
        Ssl::Off => return None,
        Ssl::On(given) => *given,
        Ssl::Unset => match env.plain("PGSSLMODE") {
            Some("prefer" | "require" | "verify-ca" | "verify-full") => NodeOptions::default(),
            Some("no-verify") => *NodeOptions::unchecked(),
            _ => return None,
        },
    };
    if host.starts_with('/') {
        problems.add(format!("{host} is a Unix socket, on which PostgreSQL does not support TLS: set DB_SSL to false"));
        return None;
    }
    let trusts_all = env.plain("NODE_TLS_REJECT_UNAUTHORIZED") == Some("0");
    let is_address = host.parse::<IpAddr>().is_ok();
    let options = TlsOptions {
        roots: match given.ca {
            _ if !given.reject_unauthorized.unwrap_or(!trusts_all) => Roots::Any,
            Some(ca) => Roots::Only(ca),
            None => node_roots(env, problems),
        },
        identity: given.identity.map(|(certificate, key)| (certificate, Secret::new(key.text), key.source)),
        sends_name: !is_address || given.server_name.is_some(),
        // For an address Node sends no name, and verifies the certificate against `localhost`.
        server_name: is_address.then(|| given.server_name.unwrap_or_else(|| "localhost".to_owned())),
    };
    match TlsClient::new(&options) {
        Ok(client) => Some(client),
        Err(problem) => {
            problems.add(problem);
            None
        }
    }
}

/// Returns the authorities that Node trusts if no CA is configured.
fn node_roots(env: &Env, problems: &mut Problems) -> Roots {
    let flags: Vec<&str> = env.plain("NODE_OPTIONS").unwrap_or_default().split(' ').collect();
    let only_system = flags.contains(&"--use-openssl-ca");
    let mut more = Vec::new();
    if only_system || flags.contains(&"--use-system-ca") || env.plain("NODE_USE_SYSTEM_CA") == Some("1") {
        let found = match env.plain("SSL_CERT_FILE") {
            Some(path) => Some(path),
            None => SYSTEM_ROOTS.into_iter().find(|path| Path::new(path).exists()),
        };
        match found {
            Some(path) => more.extend(read_pem(path, "NODE_OPTIONS selects the system's certificates", problems)),
            None => problems.add(
                "NODE_OPTIONS selects the system's certificates, but there are none: \
                 name their file in SSL_CERT_FILE, or set DB_SSL__CA",
            ),
        }
    }
    if let Some(path) = env.plain("NODE_EXTRA_CA_CERTS") {
        more.extend(read_pem(path, "NODE_EXTRA_CA_CERTS", problems));
    }
    Roots::Node { mozilla: !only_system, more }
}
