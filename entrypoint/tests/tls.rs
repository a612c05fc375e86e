//! Boots over TLS, with real certificates, real handshakes and a real PostgreSQL.

mod common;

use std::process::Command;

use common::tls::{Authority, Certificate, ca_true, expired, self_signed, serve};
use common::{BootResult, Database, Image, run};
use contract::ExitCode;

/// A database, and the image that boots it.
struct TlsCase {
    database: Database,
    image: Image,
}

impl TlsCase {
    async fn new() -> TlsCase {
        TlsCase { database: Database::bootstrapped().await, image: Image::new() }
    }

    fn serve(&self, certificate: &Certificate, clients: Option<&Authority>) -> u16 {
        serve(&self.database.connection_parts().server(), certificate, clients)
    }

    fn boot(&self, host: &str, port: u16, variables: &[(&str, &str)]) -> BootResult {
        run(self.command(host, port).envs(variables.iter().copied()))
    }

    fn command(&self, host: &str, port: u16) -> Command {
        let mut command = self.image.boot("");
        let mut place = self.database.connection_parts();
        (place.host, place.port) = (host.to_owned(), port);
        place.set_variables(&mut command);
        command
    }

    /// A URL through the TLS server on this port.
    fn url(&self, port: u16, parameters: &str) -> String {
        let place = self.database.connection_parts();
        format!("postgres://{}:{}@localhost:{port}/{}?{parameters}", place.user, place.password, place.database)
    }

    /// Writes a file, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        self.image.write(name, text);
        self.image.path(name)
    }
}

fn assert_booted(ended: &BootResult) {
    assert_eq!(ended.code, 0, "{}", ended.output);
}

fn assert_refused(ended: &BootResult, words: &[&str]) {
    ended.assert_failed("database", ExitCode::DatabaseRefused, words);
}

#[tokio::test]
async fn certificate_of_the_configured_ca_is_accepted_from_each_variable() {
    let (case, authority) = (TlsCase::new().await, Authority::new());
    let port = case.serve(&authority.issue(&["localhost"], |_| ()), None);
    let (ca, path) = (authority.pem.as_str(), case.file("ca.pem", &authority.pem));
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__CA", ca)]));
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__CA_FILE", &path), ("DB_SSL", "true")]));
    // For an IP address Node sends no SNI, and checks the certificate for `localhost`.
    assert_booted(&case.boot("127.0.0.1", port, &[("DB_SSL__CA", ca)]));

    let verified = case.url(port, &format!("sslmode=require&sslrootcert={path}"));
    assert_booted(&run(&mut case.image.boot(&verified)));
    assert_booted(&run(&mut case.image.boot(&case.url(port, "sslmode=no-verify"))));
    let unknown_ca = case.url(port, "sslmode=require");
    assert_refused(&run(&mut case.image.boot(&unknown_ca)), &["is not signed by a trusted authority"]);
}

#[tokio::test]
async fn nodes_variables_add_trusted_roots() {
    let (case, authority) = (TlsCase::new().await, Authority::new());
    let port = case.serve(&authority.issue(&["localhost"], |_| ()), None);
    let path = case.file("ca.pem", &authority.pem);
    let on = ("DB_SSL", "true");
    assert_refused(&case.boot("localhost", port, &[on]), &["is not signed by a trusted authority", "DB_SSL__CA"]);
    assert_booted(&case.boot("localhost", port, &[on, ("NODE_EXTRA_CA_CERTS", &path)]));
    assert_booted(&case.boot("localhost", port, &[("PGSSLMODE", "require"), ("NODE_EXTRA_CA_CERTS", &path)]));
    // Without --use-system-ca, which the Node of this machine may not have yet.
    for system in [("NODE_OPTIONS", "--no-warnings --use-openssl-ca"), ("NODE_USE_SYSTEM_CA", "1")] {
        assert_booted(&case.boot("localhost", port, &[on, system, ("SSL_CERT_FILE", &path)]));
    }
    // Without these options Node ignores the system's roots.
    assert_refused(
        &case.boot("localhost", port, &[on, ("SSL_CERT_FILE", &path)]),
        &["not signed by a trusted authority"],
    );
}

#[tokio::test]
async fn each_failed_check_of_a_certificate_names_its_remedy() {
    let (case, authority) = (TlsCase::new().await, Authority::new());
    let ca = ("DB_SSL__CA", authority.pem.as_str());

    let port = case.serve(&authority.issue(&["db.example"], |_| ()), None);
    assert_refused(&case.boot("localhost", port, &[ca]), &["is for db.example, not for localhost", "subjectAltName"]);
    let port = case.serve(&authority.issue(&[], |_| ()), None);
    assert_refused(&case.boot("localhost", port, &[ca]), &["does not name a host", "a common name is not enough"]);
    let port = case.serve(&authority.issue(&["localhost"], expired), None);
    assert_refused(&case.boot("localhost", port, &[ca]), &["has expired", "renew it"]);
    let port = case.serve(&Authority::new().issue(&["localhost"], |_| ()), None);
    assert_refused(&case.boot("localhost", port, &[ca]), &["is not signed by a trusted authority", "DB_SSL__CA"]);

    let (old, new) = (Authority::named("the same"), Authority::named("the same"));
    let port = case.serve(&new.issue(&["localhost"], |_| ()), None);
    assert_refused(&case.boot("localhost", port, &[("DB_SSL__CA", &old.pem)]), &["the name of a trusted one"]);

    let own = self_signed(&["localhost"], ca_true);
    let port = case.serve(&own, None);
    let refused = case.boot("localhost", port, &[("DB_SSL__CA", &own.pem)]);
    assert_refused(&refused, &["an authority's own (CA:TRUE)", "basicConstraints=CA:FALSE"]);
    assert_refused(&case.boot("localhost", port, &[("DB_SSL", "true")]), &["its certificate"]);
}

#[tokio::test]
async fn without_verification_any_certificate_is_accepted() {
    let case = TlsCase::new().await;
    let port = case.serve(&self_signed(&["elsewhere"], expired), None);
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__REJECT_UNAUTHORIZED", "false")]));
    let node = [("DB_SSL", "true"), ("NODE_TLS_REJECT_UNAUTHORIZED", "0")];
    assert_booted(&case.boot("localhost", port, &node));
    let checked = [("DB_SSL__REJECT_UNAUTHORIZED", "true"), ("NODE_TLS_REJECT_UNAUTHORIZED", "0")];
    assert_refused(&case.boot("localhost", port, &checked), &["its certificate"]);
}

#[tokio::test]
async fn client_certificate_is_sent_if_the_server_requires_one() {
    let (case, servers, clients) = (TlsCase::new().await, Authority::new(), Authority::new());
    let port = case.serve(&servers.issue(&["localhost"], |_| ()), Some(&clients));
    let ca = ("DB_SSL__CA", servers.pem.as_str());
    assert_refused(&case.boot("localhost", port, &[ca]), &["requires a client certificate", "DB_SSL__CERT"]);

    let good = clients.issue(&["postgres"], |_| ());
    let identity = [ca, ("DB_SSL__CERT", good.pem.as_str()), ("DB_SSL__KEY", good.key.as_str())];
    assert_booted(&case.boot("localhost", port, &identity));

    let wrong = Authority::new().issue(&["postgres"], |_| ());
    let identity = [ca, ("DB_SSL__CERT", wrong.pem.as_str()), ("DB_SSL__KEY", wrong.key.as_str())];
    assert_refused(&case.boot("localhost", port, &identity), &["does not accept the client's certificate", "signed"]);

    let pair = [ca, ("DB_SSL__CERT", good.pem.as_str()), ("DB_SSL__KEY", wrong.key.as_str())];
    let ended = case.boot("localhost", port, &pair);
    ended.assert_failed("config", ExitCode::Config, &["DB_SSL__CERT and DB_SSL__KEY cannot be used together"]);
}

#[tokio::test]
async fn required_tls_never_falls_back_to_plain_text() {
    let case = TlsCase::new().await;
    let place = case.database.connection_parts();
    let ended = case.boot(&place.host, place.port, &[("DB_SSL", "true")]);
    assert_refused(&ended, &["server does not support encryption", "unset DB_SSL"]);
    // PGSSLMODE applies only without DB_SSL.
    assert_booted(&case.boot(&place.host, place.port, &[("DB_SSL", "false"), ("PGSSLMODE", "require")]));
}
