//! Boots over TLS: real certificates, real handshakes, and the real PostgreSQL behind them.

mod common;

use std::process::Command;

use common::tls::{Authority, Certificate, ca_true, expired, self_signed, serve};
use common::{Database, Ended, Image, run};
use contract::ExitCode;

/// A database, and a boot of it by the parts of its place.
struct Case {
    database: Database,
    image: Image,
}

impl Case {
    async fn new() -> Case {
        Case { database: Database::bootstrapped().await, image: Image::new() }
    }

    fn serve(&self, certificate: &Certificate, clients: Option<&Authority>) -> u16 {
        serve(&self.database.place().server(), certificate, clients)
    }

    fn boot(&self, host: &str, port: u16, variables: &[(&str, &str)]) -> Ended {
        run(self.command(host, port).envs(variables.iter().copied()))
    }

    fn command(&self, host: &str, port: u16) -> Command {
        let mut command = self.image.boot("");
        let mut place = self.database.place();
        (place.host, place.port) = (host.to_owned(), port);
        place.give(&mut command);
        command
    }

    /// A file with this text.
    fn file(&self, name: &str, text: &str) -> String {
        self.image.write(name, text);
        self.image.path(name)
    }
}

fn assert_booted(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.output);
}

fn assert_refused(ended: &Ended, words: &[&str]) {
    ended.assert_failed("database", ExitCode::DatabaseRefused, words);
}

#[tokio::test]
async fn a_certificate_that_the_given_ca_signed_is_taken_however_it_is_given() {
    let (case, authority) = (Case::new().await, Authority::new());
    let port = case.serve(&authority.issue(&["localhost"], |_| ()), None);
    let (ca, path) = (authority.pem.as_str(), case.file("ca.pem", &authority.pem));
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__CA", ca)]));
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__CA_FILE", &path), ("DB_SSL", "true")]));
    // Node asks an address for no name, and checks it as `localhost`.
    assert_booted(&case.boot("127.0.0.1", port, &[("DB_SSL__CA", ca)]));

    let place = case.database.place();
    let url = |parameters: &str| {
        format!("postgres://{}:{}@localhost:{port}/{}?{parameters}", place.user, place.password, place.database)
    };
    let verified = url(&format!("sslmode=require&sslrootcert={path}"));
    assert_booted(&run(&mut case.image.boot(&verified)));
    assert_booted(&run(&mut case.image.boot(&url("sslmode=no-verify"))));
    assert_refused(&run(&mut case.image.boot(&url("sslmode=require"))), &["signed by nobody who is trusted here"]);
}

#[tokio::test]
async fn node_s_own_variables_add_to_the_roots() {
    let (case, authority) = (Case::new().await, Authority::new());
    let port = case.serve(&authority.issue(&["localhost"], |_| ()), None);
    let path = case.file("ca.pem", &authority.pem);
    let on = ("DB_SSL", "true");
    assert_refused(&case.boot("localhost", port, &[on]), &["signed by nobody who is trusted here", "DB_SSL__CA"]);
    assert_booted(&case.boot("localhost", port, &[on, ("NODE_EXTRA_CA_CERTS", &path)]));
    assert_booted(&case.boot("localhost", port, &[("PGSSLMODE", "require"), ("NODE_EXTRA_CA_CERTS", &path)]));
    // Not --use-system-ca: the Node of this machine, which runs the bridge, may not know it yet.
    for system in [("NODE_OPTIONS", "--no-warnings --use-openssl-ca"), ("NODE_USE_SYSTEM_CA", "1")] {
        assert_booted(&case.boot("localhost", port, &[on, system, ("SSL_CERT_FILE", &path)]));
    }
    // Without the flag, Node does not look at the system's.
    assert_refused(&case.boot("localhost", port, &[on, ("SSL_CERT_FILE", &path)]), &["nobody who is trusted"]);
}

#[tokio::test]
async fn each_check_that_fails_is_told_with_its_way_out() {
    let (case, authority) = (Case::new().await, Authority::new());
    let ca = ("DB_SSL__CA", authority.pem.as_str());
    let named = |certificate: &Certificate| case.serve(certificate, None);

    let port = named(&authority.issue(&["db.example"], |_| ()));
    assert_refused(&case.boot("localhost", port, &[ca]), &["is for db.example, not for localhost", "subjectAltName"]);
    let port = named(&authority.issue(&[], |_| ()));
    assert_refused(&case.boot("localhost", port, &[ca]), &["names no host", "a common name is not enough"]);
    let port = named(&authority.issue(&["localhost"], expired));
    assert_refused(&case.boot("localhost", port, &[ca]), &["has expired", "renewed"]);
    let port = named(&Authority::new().issue(&["localhost"], |_| ()));
    assert_refused(&case.boot("localhost", port, &[ca]), &["signed by nobody who is trusted here", "DB_SSL__CA"]);

    let (old, new) = (Authority::named("the same"), Authority::named("the same"));
    let port = named(&new.issue(&["localhost"], |_| ()));
    assert_refused(&case.boot("localhost", port, &[("DB_SSL__CA", &old.pem)]), &["the name of a trusted one"]);

    let own = self_signed(&["localhost"], ca_true);
    let port = named(&own);
    let refused = case.boot("localhost", port, &[("DB_SSL__CA", &own.pem)]);
    assert_refused(&refused, &["an authority's own (CA:TRUE)", "basicConstraints=CA:FALSE"]);
    assert_refused(&case.boot("localhost", port, &[("DB_SSL", "true")]), &["its certificate"]);
}

#[tokio::test]
async fn unchecked_takes_any_certificate() {
    let case = Case::new().await;
    let port = case.serve(&self_signed(&["elsewhere"], expired), None);
    assert_booted(&case.boot("localhost", port, &[("DB_SSL__REJECT_UNAUTHORIZED", "false")]));
    let node = [("DB_SSL", "true"), ("NODE_TLS_REJECT_UNAUTHORIZED", "0")];
    assert_booted(&case.boot("localhost", port, &node));
    let checked = [("DB_SSL__REJECT_UNAUTHORIZED", "true"), ("NODE_TLS_REJECT_UNAUTHORIZED", "0")];
    assert_refused(&case.boot("localhost", port, &checked), &["its certificate"]);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_demanded() {
    let (case, servers, clients) = (Case::new().await, Authority::new(), Authority::new());
    let port = case.serve(&servers.issue(&["localhost"], |_| ()), Some(&clients));
    let ca = ("DB_SSL__CA", servers.pem.as_str());
    assert_refused(&case.boot("localhost", port, &[ca]), &["demands a certificate of the client", "DB_SSL__CERT"]);

    let good = clients.issue(&["postgres"], |_| ());
    let identity = [ca, ("DB_SSL__CERT", good.pem.as_str()), ("DB_SSL__KEY", good.key.as_str())];
    assert_booted(&case.boot("localhost", port, &identity));

    let wrong = Authority::new().issue(&["postgres"], |_| ());
    let identity = [ca, ("DB_SSL__CERT", wrong.pem.as_str()), ("DB_SSL__KEY", wrong.key.as_str())];
    assert_refused(&case.boot("localhost", port, &identity), &["does not take the client's certificate", "signed"]);

    let pair = [ca, ("DB_SSL__CERT", good.pem.as_str()), ("DB_SSL__KEY", wrong.key.as_str())];
    let ended = case.boot("localhost", port, &pair);
    ended.assert_failed("config", ExitCode::Config, &["DB_SSL__CERT and DB_SSL__KEY cannot be used together"]);
}

#[tokio::test]
async fn there_is_no_way_back_to_plain() {
    let case = Case::new().await;
    let place = case.database.place();
    let ended = case.boot(&place.host, place.port, &[("DB_SSL", "true")]);
    assert_refused(&ended, &["server does not support TLS", "unset DB_SSL"]);
    // PGSSLMODE counts only where DB_SSL is silent.
    assert_booted(&case.boot(&place.host, place.port, &[("DB_SSL", "false"), ("PGSSLMODE", "require")]));
}
