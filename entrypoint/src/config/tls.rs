//! Whether and how the connection is encrypted: `DB_SSL`, `DB_SSL__*`, the URL's `ssl…` parameters, `PGSSLMODE`, and
//! the variables by which Node chooses its roots.

use std::net::IpAddr;
use std::path::Path;

use super::connection_string::Parameters;
use super::{Env, Problems};
use crate::database::{Pem, Roots, TlsClient, TlsOptions};
use crate::secret::Secret;

/// Where systems keep the certificates that they trust, unless `SSL_CERT_FILE` says so: Debian, Red Hat, Alpine.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What the configuration says, before `PGSSLMODE` is asked.
#[derive(Debug, Default)]
pub(super) enum Ssl {
    /// Nothing.
    #[default]
    Unset,
    /// Plain.
    Off,
    /// Encrypted.
    On(Box<Given>),
}

/// What Node's `tls.connect` is given.
#[derive(Debug, Default)]
pub(super) struct Given {
    reject_unauthorized: Option<bool>,
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

impl Given {
    fn unchecked() -> Box<Given> {
        Box::new(Given { reject_unauthorized: Some(false), ..Given::default() })
    }
}

/// Names of `DB_SSL__…` that are mirrored.
const MIRRORED: [&str; 5] = ["CA", "CERT", "KEY", "REJECT_UNAUTHORIZED", "SERVERNAME"];

/// Reads `DB_SSL` and `DB_SSL__*`.
pub(super) fn from_variables(env: &Env, problems: &mut Problems) -> Ssl {
    for name in env.names().filter(|name| name.starts_with("DB_SSL__")) {
        let option = name["DB_SSL__".len()..].trim_end_matches("_FILE");
        if !MIRRORED.contains(&option) {
            problems.add(format!("{name} is not supported, the boot would connect otherwise than Directus: remove it"));
        }
    }
    let given = Box::new(Given {
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
        // The server that is started gets no DB_SSL in this case: which of them counted would be a matter of order.
        None | Some("true") if has_options => Ssl::On(given),
        Some("true") => Ssl::On(given),
        Some("no-verify") if !has_options => Ssl::On(Given::unchecked()),
        Some("false" | "0") if !has_options => Ssl::Off,
        Some("false" | "0" | "no-verify") => {
            problems.add("DB_SSL contradicts the variables DB_SSL__…: set it to true, or remove them");
            Ssl::Unset
        }
        Some(other) => {
            problems.add(format!("DB_SSL is `{other}`: give true or false"));
            Ssl::Unset
        }
        // Directus takes an empty one for a no, and asks PGSSLMODE only if there is none.
        None if env.is_empty("DB_SSL") => Ssl::Off,
        None => Ssl::Unset,
    }
}

/// Whether one of `DB_SSL__*` is set.
pub(super) fn has_options(env: &Env) -> bool {
    env.names().any(|name| name.starts_with("DB_SSL__") && env.plain(name).is_some())
}

fn identity_from_variables(env: &Env, problems: &mut Problems) -> Option<(Pem, Pem)> {
    let mut read = |name: &'static str| env.get_text(name, problems).map(|text| Pem::new(name, text));
    match (read("DB_SSL__CERT"), read("DB_SSL__KEY")) {
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

/// Reads the parameters of a connection string; `variable` holds it.
///
/// `sslmode=prefer`, `require` and `verify-ca` all check the certificate and the name, unlike libpq's.
pub(super) fn from_parameters(parameters: &Parameters, variable: &str, problems: &mut Problems) -> Ssl {
    let value = |name: &str| parameters.get(name);
    let files = [value("sslrootcert"), value("sslcert"), value("sslkey")];
    let reject_unauthorized = match value("sslmode") {
        None if files == [None; 3] => {
            return match value("ssl") {
                None => Ssl::Unset,
                Some("true" | "1") => Ssl::On(Box::default()),
                Some("no-verify") => Ssl::On(Given::unchecked()),
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
    Ssl::On(Box::new(Given {
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

/// The client for what was said, `None` for a plain connection. `host` is what the server is called.
pub(super) fn client(ssl: Ssl, host: &str, env: &Env, problems: &mut Problems) -> Option<TlsClient> {
    let given = match ssl {
        Ssl::Off => return None,
        Ssl::On(given) => *given,
        Ssl::Unset => match env.plain("PGSSLMODE") {
            Some("prefer" | "require" | "verify-ca" | "verify-full") => Given::default(),
            Some("no-verify") => *Given::unchecked(),
            _ => return None,
        },
    };
    if host.starts_with('/') {
        problems.add(format!("{host} is a Unix socket, on which PostgreSQL speaks no TLS: set DB_SSL to false"));
        return None;
    }
    let trusts_all = env.plain("NODE_TLS_REJECT_UNAUTHORIZED") == Some("0");
    let options = TlsOptions {
        roots: match given.ca {
            _ if !given.reject_unauthorized.unwrap_or(!trusts_all) => Roots::Any,
            Some(ca) => Roots::Only(ca),
            None => node_roots(env, problems),
        },
        identity: given.identity.map(|(certificate, key)| (certificate, Secret::new(key.text), key.source)),
        // Node asks an address for no name, and then checks the certificate for `localhost`.
        server_name: host
            .parse::<IpAddr>()
            .is_ok()
            .then(|| given.server_name.clone().unwrap_or_else(|| "localhost".to_owned())),
        says_the_name: host.parse::<IpAddr>().is_err() || given.server_name.is_some(),
    };
    match TlsClient::new(&options) {
        Ok(client) => Some(client),
        Err(complaint) => {
            problems.add(complaint);
            None
        }
    }
}

/// What Node trusts where no CA is given.
fn node_roots(env: &Env, problems: &mut Problems) -> Roots {
    let flag =
        |wanted: &str| env.plain("NODE_OPTIONS").is_some_and(|flags| flags.split(' ').any(|flag| flag == wanted));
    let only_system = flag("--use-openssl-ca");
    let mut more = Vec::new();
    if only_system || flag("--use-system-ca") || env.plain("NODE_USE_SYSTEM_CA") == Some("1") {
        let found = match env.plain("SSL_CERT_FILE") {
            Some(path) => Some(path),
            None => SYSTEM_ROOTS.into_iter().find(|path| Path::new(path).exists()),
        };
        match found {
            Some(path) => more.extend(read_pem(path, "NODE_OPTIONS asks for the system's certificates", problems)),
            None => problems.add(
                "NODE_OPTIONS asks for the system's certificates, and there are none: \
                 name their file in SSL_CERT_FILE, or give DB_SSL__CA",
            ),
        }
    }
    if let Some(path) = env.plain("NODE_EXTRA_CA_CERTS") {
        more.extend(read_pem(path, "NODE_EXTRA_CA_CERTS", problems));
    }
    Roots::Node { mozilla: !only_system, more }
}
