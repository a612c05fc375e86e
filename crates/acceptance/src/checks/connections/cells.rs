//! The cells of the check: servers, and the variables by which both clients connect to them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::test_context::OWN_SERVER;

/// A server, the variables of both clients, and the outcome that keeps the promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cell {
    pub(super) name: String,
    /// A server of clients.mjs; none for PostgreSQL itself.
    server: Option<Value>,
    variables: BTreeMap<&'static str, String>,
    /// The key of the certificate that PostgreSQL itself shows.
    #[serde(skip)]
    pub(super) own_algorithm: &'static str,
    #[serde(skip)]
    pub(super) expect: Expect,
}

/// The outcome that keeps the promise.
#[derive(Clone, Debug)]
pub(super) enum Expect {
    /// Both connect, or both are refused.
    Agreement,
    /// The boot connects and Directus does not, as docs/operate.md states: Directus then reports the reason.
    OnlyTheBoot,
    /// The boot connects; for Directus it depends on the base's C library, as docs/operate.md states.
    AtLeastTheBoot,
}

impl Cell {
    fn new(name: impl Into<String>, server: Option<Value>, variables: &[(&'static str, &str)]) -> Cell {
        let mut all = BTreeMap::from(BASE.map(|(name, value)| (name, value.to_owned())));
        all.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Cell { name: name.into(), server, variables: all, own_algorithm: OWN_ALGORITHMS[0], expect: Expect::Agreement }
    }

    /// Directly to PostgreSQL, as that role.
    fn own(name: impl Into<String>, role: &'static str, variables: &[(&'static str, &str)]) -> Cell {
        let mut cell = Cell::new(name, None, &[("DB_HOST", OWN_SERVER), ("DB_PORT", "5432"), ("DB_USER", role)]);
        cell.variables.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        cell
    }

    /// The same for a busy machine: the boot may take five times as long.
    pub(super) fn patient(&self) -> Cell {
        let mut cell = self.clone();
        cell.variables.insert(PATIENCE.0, PATIENCE.1.to_owned());
        cell
    }

    fn only_the_boot(mut self) -> Cell {
        self.expect = Expect::OnlyTheBoot;
        self
    }

    fn with_own_certificate(mut self, algorithm: &'static str) -> Cell {
        self.own_algorithm = algorithm;
        self
    }
}

/// Keys of the certificates that PostgreSQL itself shows, one after the other.
pub(super) const OWN_ALGORITHMS: [&str; 4] = ["p256", "rsa-2048", "p521", "ed25519"];

const PASSWORD: &str = "hunter2-cells";
/// NFKC makes a space of its no-break space, and an i of its ligature.
const UNICODE_PASSWORD: &str = "hunter2-p\u{e4}ss\u{a0}w\u{f6}rd-\u{fb01}";

/// Less than the deadline of clients.mjs.
const PATIENCE: (&str, &str) = ("BOOT_DATABASE_TIMEOUT", "15");

/// The variables of every cell, unless it sets others.
const BASE: [(&str, &str); 7] = [
    ("DB_CLIENT", "pg"),
    ("DB_HOST", "localhost"),
    ("DB_DATABASE", "postgres"),
    ("DB_USER", "scram"),
    ("DB_PASSWORD", PASSWORD),
    ("SECRET", "s"),
    ("BOOT_DATABASE_TIMEOUT", "3"),
];

/// The rules of PostgreSQL: one role for each method. The last line is the check's own role.
pub(super) const HBA: &str = "\
local all all trust
host all scram,unicode,no_login all scram-sha-256
host all md5_role all md5
host all plain all password
host all trusting all trust
host all rejected all reject
hostssl all encrypted all scram-sha-256
hostnossl all unencrypted all scram-sha-256
hostssl all certificate all cert
hostssl all certificate_too all scram-sha-256 clientcert=verify-ca
host all all all scram-sha-256
";

/// Statements that create the roles.
pub(super) fn roles() -> Vec<String> {
    let mut statements = Vec::new();
    for (role, method, password) in [
        ("scram", "scram-sha-256", PASSWORD),
        ("unicode", "scram-sha-256", UNICODE_PASSWORD),
        ("md5_role", "md5", PASSWORD),
        ("plain", "scram-sha-256", PASSWORD),
        ("trusting", "scram-sha-256", PASSWORD),
        ("rejected", "scram-sha-256", PASSWORD),
        ("encrypted", "scram-sha-256", PASSWORD),
        ("unencrypted", "scram-sha-256", PASSWORD),
        ("certificate", "scram-sha-256", PASSWORD),
        ("certificate_too", "scram-sha-256", PASSWORD),
        ("no_login", "scram-sha-256", PASSWORD),
    ] {
        let login = if role == "no_login" { "nologin" } else { "login" };
        statements
            .push(format!("set password_encryption = '{method}'; create role {role} {login} password '{password}'"));
    }
    statements
}

/// Certificates and keys, by name; generate.sh makes them.
#[derive(Debug, Deserialize)]
pub(super) struct Certificates(BTreeMap<String, Pair>);

/// PEM texts.
#[derive(Debug, Deserialize)]
pub(super) struct Pair {
    /// The certificate, followed by the rest of its chain if there is one.
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Certificates {
    pub(super) fn read() -> anyhow::Result<Certificates> {
        serde_json::from_str(include_str!("certificates.json"))
            .context("certificates.json is not as generate.sh writes it")
    }

    pub(super) fn pair(&self, name: &str) -> &Pair {
        self.0.get(name).unwrap_or_else(|| panic!("generate.sh makes no certificate {name}"))
    }

    /// A server that shows a certificate, with further options of tls.createServer.
    fn server(&self, name: &str, options: &[(&str, Value)]) -> Value {
        let Pair { certificate, key } = self.pair(name);
        let mut tls = json!({ "cert": certificate, "key": key });
        for (option, value) in options {
            tls[option] = value.clone();
        }
        json!({ "tls": tls, "upstream": upstream() })
    }

    /// The variables of a client that has this certificate.
    fn of_client(&self, name: &str) -> [(&'static str, &str); 2] {
        let Pair { certificate, key } = self.pair(name);
        [("DB_SSL__CERT", certificate), ("DB_SSL__KEY", key)]
    }

    fn root(&self, name: &str) -> &str {
        &self.pair(name).certificate
    }
}

fn upstream() -> Value {
    json!({ "host": OWN_SERVER, "port": 5432 })
}

/// A server that forwards bytes; `listen` is its address, or the folder of its UNIX socket.
fn forwarding(listen: &str) -> Option<Value> {
    Some(json!({ "listen": listen, "upstream": upstream() }))
}

/// Certificates of the servers, each with the authority that the clients trust.
const SHOWN: [(&str, &str); 47] = [
    ("rsa-1024", "ca"),
    ("rsa-2048", "ca"),
    ("rsa-4096", "ca"),
    ("rsa-pss", "ca"),
    ("p256", "ca"),
    ("p384", "ca"),
    ("p521", "ca"),
    ("secp256k1", "ca"),
    ("ed25519", "ca"),
    ("ed448", "ca"),
    ("by-rsa", "ca-rsa"),
    ("by-rsa-sha1", "ca-rsa"),
    ("by-rsa-sha512", "ca-rsa"),
    ("by-rsa-pss", "ca-rsa"),
    ("by-p256-sha512", "ca"),
    ("by-p521", "ca-p521"),
    ("by-ed25519", "ca-ed25519"),
    ("by-constrained", "ca-constrained"),
    ("by-twin", "ca"),
    ("p256", "ca-rsa"),
    ("common-name", "ca"),
    ("common-name-case", "ca"),
    ("other-common-name", "ca"),
    ("other-name", "ca"),
    ("other-name-and-common-name", "ca"),
    ("address", "ca"),
    ("address-and-name", "ca"),
    ("upper-case", "ca"),
    ("wildcard", "ca"),
    ("mail", "ca"),
    ("no-name", "ca"),
    ("expired", "ca"),
    ("future", "ca"),
    ("client-only", "ca"),
    ("server-only", "ca"),
    ("no-signatures", "ca"),
    ("unknown-critical", "ca"),
    ("is-authority", "ca"),
    ("zero-serial", "ca"),
    ("long-serial", "ca"),
    ("version-1", "ca"),
    ("self", "self"),
    ("self-authority", "self-authority"),
    ("below", "ca"),
    ("below-with-intermediate", "ca"),
    ("below-with-root", "ca"),
    ("below-in-disorder", "ca"),
];

/// Options of tls.createServer.
type ServerOptions = Vec<(&'static str, Value)>;

/// Options of the server that narrow what it agrees to.
fn narrow() -> [(&'static str, &'static str, ServerOptions); 11] {
    let version = |version: &str| vec![("minVersion", json!(version)), ("maxVersion", json!(version))];
    let suite = |suite: &str| vec![("maxVersion", json!("TLSv1.2")), ("ciphers", json!(suite))];
    let curve = |curve: &str| vec![("ecdhCurve", json!(curve))];
    [
        ("TLS 1.3 alone", "rsa-2048", version("TLSv1.3")),
        ("TLS 1.2 alone", "rsa-2048", version("TLSv1.2")),
        ("TLS 1.1 alone", "rsa-2048", [version("TLSv1.1"), vec![("ciphers", json!("ALL:@SECLEVEL=0"))]].concat()),
        ("RSA key exchange", "rsa-2048", suite("AES128-GCM-SHA256")),
        ("CBC", "rsa-2048", suite("ECDHE-RSA-AES256-SHA384")),
        ("CBC with SHA-1", "rsa-2048", suite("ECDHE-RSA-AES128-SHA")),
        ("ChaCha20", "rsa-2048", suite("ECDHE-RSA-CHACHA20-POLY1305")),
        ("ECDSA alone", "p256", suite("ECDHE-ECDSA-AES256-GCM-SHA384")),
        ("curve P-521", "rsa-2048", curve("P-521")),
        ("curve X448", "rsa-2048", curve("X448")),
        ("curve X25519", "rsa-2048", curve("X25519")),
    ]
}

/// All cells.
pub(super) fn all(certificates: &Certificates) -> Vec<Cell> {
    let ca = certificates.root("ca");
    let checked = ("DB_SSL__CA", ca);
    let unchecked = ("DB_SSL__REJECT_UNAUTHORIZED", "false");
    let mut cells = Vec::new();
    for (name, root) in SHOWN {
        let server = || Some(certificates.server(name, &[]));
        let trusted = [("DB_SSL__CA", certificates.root(root))];
        cells.push(Cell::new(format!("{name}, {root} trusted"), server(), &trusted));
        if root == "ca" {
            cells.push(Cell::new(format!("{name}, unchecked"), server(), &[unchecked]));
        }
    }
    // rustls trusts what is given as an authority. OpenSSL also checks the authority's own purpose and time.
    for (name, root) in [("by-plain", "ca-plain"), ("by-expired", "ca-expired")] {
        let trusted = [("DB_SSL__CA", certificates.root(root))];
        let cell = Cell::new(format!("{name}, {root} trusted"), Some(certificates.server(name, &[])), &trusted);
        cells.push(cell.only_the_boot());
    }
    cells.push(Cell::new("nothing trusted", Some(certificates.server("p256", &[])), &[("DB_SSL", "true")]));
    for (name, certificate, options) in narrow() {
        cells.push(Cell::new(name, Some(certificates.server(certificate, &options)), &[checked]));
    }

    // Names and addresses of the server.
    for (name, certificate, host) in [
        ("an IPv4 address, certificate for localhost", "p256", "127.0.0.1"),
        ("an IPv4 address, certificate for it", "address", "127.0.0.1"),
        ("an IPv4 address, certificate for both", "address-and-name", "127.0.0.1"),
    ] {
        cells.push(Cell::new(name, Some(certificates.server(certificate, &[])), &[checked, ("DB_HOST", host)]));
    }
    for (name, certificate, expected) in [
        ("another name expected", "other-name", "db.example"),
        ("another name expected, certificate for the host", "p256", "db.example"),
        ("a wildcard", "wildcard", "db.example.test"),
        ("a wildcard two labels deep", "wildcard", "a.db.example.test"),
        ("a partial wildcard", "partial-wildcard", "db.example.test"),
        ("a name with an underscore", "underscore", "my_db"),
    ] {
        let variables = [checked, ("DB_SSL__SERVERNAME", expected)];
        cells.push(Cell::new(name, Some(certificates.server(certificate, &[])), &variables));
    }
    let mut six = certificates.server("p256", &[]);
    six["listen"] = json!("::1");
    cells.push(Cell::new("an IPv6 address, encrypted", Some(six), &[checked, ("DB_HOST", "::1")]));
    cells.push(Cell::new("an IPv6 address", forwarding("::1"), &[("DB_HOST", "::1")]));
    // The IPv4 address of localhost is dead. Node asks for addresses of the families that the container has, and glibc does
    // not count ::1; another C library may. A container without an IPv6 network has ::1 on Docker 26.1, but not on 20.10.
    let ipv6 = Cell::new("localhost on IPv6 alone", forwarding("::1"), &[]);
    cells.push(Cell { expect: Expect::AtLeastTheBoot, ..ipv6 });
    cells.push(Cell::new("a UNIX socket", forwarding("/tmp/one"), &[("DB_HOST", "/tmp/one")]));
    let url = "postgres:///postgres?host=/tmp/two&user=scram&password=hunter2-cells";
    cells.push(Cell::new("a UNIX socket in a URL", forwarding("/tmp/two"), &[("DB_CONNECTION_STRING", url)]));

    // Encryption that one side does not want.
    let refusing = json!({ "tls": "refused", "upstream": upstream() });
    cells.push(Cell::new("a server without encryption", Some(refusing), &[checked]));
    cells.push(Cell::new("encryption demanded, not asked for", Some(certificates.server("p256", &[])), &[]));

    // Certificates of the client.
    let demanding = [("requestCert", json!(true)), ("ca", json!(ca)), ("rejectUnauthorized", json!(true))];
    let demanding_12 = [demanding.to_vec(), vec![("maxVersion", json!("TLSv1.2"))]].concat();
    for (version, options) in [("TLS 1.3", demanding.as_slice()), ("TLS 1.2", &demanding_12)] {
        let server = || Some(certificates.server("p256", options));
        cells.push(Cell::new(format!("{version}, a client's certificate demanded, none given"), server(), &[checked]));
        for client in [
            "client",
            "client-p521",
            "client-rsa",
            "client-rsa-pkcs1",
            "client-sec1",
            "client-ed25519",
            "client-of-another",
            "client-encrypted",
        ] {
            let [certificate, key] = certificates.of_client(client);
            let variables = [checked, certificate, key];
            cells.push(Cell::new(format!("{version}, {client} given"), server(), &variables));
        }
    }
    // A proxy that ends encryption and begins another one: SCRAM may not be bound to the channel.
    let mut again = certificates.server("rsa-2048", &[]);
    again["upstream"]["tls"] = json!({});
    cells.push(Cell::new("a proxy that encrypts again", Some(again), &[checked]));

    cells.extend(authentication(certificates, checked));
    cells
}

/// Cells of PostgreSQL itself.
fn authentication(certificates: &Certificates, checked: (&'static str, &str)) -> Vec<Cell> {
    let mut cells = Vec::new();
    for role in
        ["scram", "md5_role", "plain", "trusting", "rejected", "encrypted", "unencrypted", "no_login", "missing"]
    {
        cells.push(Cell::own(format!("{role}, plain"), role, &[]));
        cells.push(Cell::own(format!("{role}, encrypted"), role, &[checked]));
    }
    cells.push(Cell::own("a wrong password", "scram", &[("DB_PASSWORD", "wrong")]));
    cells.push(Cell::own("a wrong password, md5", "md5_role", &[("DB_PASSWORD", "wrong")]));
    cells.push(Cell::own("no password", "scram", &[("DB_PASSWORD", "")]));
    cells.push(Cell::own("no password needed", "trusting", &[("DB_PASSWORD", "")]));
    // pg does not normalize a password (SASLprep); PostgreSQL and the boot's driver do.
    let unicode = Cell::own("a password that SCRAM normalizes", "unicode", &[("DB_PASSWORD", UNICODE_PASSWORD)]);
    cells.push(unicode.only_the_boot());
    cells.push(Cell::own("no such database", "scram", &[("DB_DATABASE", "nowhere")]));
    cells.push(Cell::own("a certificate for a password", "certificate", &[checked]));
    for role in ["certificate", "certificate_too"] {
        for client in ["client", "client-rsa", "client-of-another"] {
            let [certificate, key] = certificates.of_client(client);
            let variables = [checked, certificate, key];
            cells.push(Cell::own(format!("{role}, {client} given"), role, &variables));
        }
    }
    // SCRAM may be bound to a channel whose certificate has each of these keys.
    for algorithm in OWN_ALGORITHMS {
        cells.push(Cell::own(format!("scram over {algorithm}"), "scram", &[checked]).with_own_certificate(algorithm));
    }
    cells
}
