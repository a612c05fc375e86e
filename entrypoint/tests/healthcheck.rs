//! The three probes, against a server that answers as Directus does and a real PostgreSQL.

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use common::{Database, Image, run};
use contract::ExitCode;

/// Starts a server that answers every request with this status, and returns its port.
fn server(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            answer(&mut client, status);
        }
    });
    port
}

fn answer(client: &mut (impl std::io::Read + std::io::Write), status: &str) {
    let mut request = [0; 512];
    assert!(client.read(&mut request).expect("a request") > 0);
    // A client that has read the status may be gone.
    drop(write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
}

/// The exit code of a probe, and its output.
fn probe(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("the binary runs");
    (output.status.code().expect("it exits"), String::from_utf8(output.stdout).expect("UTF-8"))
}

fn is_ready(image: &Image, url: &str, port: &str) -> (i32, String) {
    probe(image.command(url, &["healthcheck", "ready"]).env("PORT", port))
}

const UNHEALTHY: i32 = ExitCode::Unhealthy as i32;

#[tokio::test]
async fn a_busy_server_is_alive_and_an_overloaded_one_is_not_ready() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    for (status, ready) in [("200 OK", 0), ("429 Too Many Requests", 0), ("503 Service Unavailable", UNHEALTHY)] {
        let port = server(status).to_string();
        for (question, expected) in [("live", 0), ("startup", 0), ("ready", ready)] {
            let mut command = image.command(database.url(), &["healthcheck", question]);
            let (code, output) = probe(command.env("PORT", &port));
            assert_eq!(code, expected, "{question} at {status}: {output}");
        }
    }
}

#[tokio::test]
async fn readiness_needs_the_database_with_this_image_s_snapshot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    let port = server("200 OK").to_string();
    assert_eq!(is_ready(&image, database.url(), &port), (0, String::new()));

    let (code, output) = is_ready(&image, "postgres://u:hunter2@127.0.0.1:1/d", &port);
    assert_eq!((code, output.as_str()), (UNHEALTHY, "127.0.0.1:1: connection refused\n"));

    image.write("schema.yaml", "version: 1\n# another one\n");
    let (code, output) = is_ready(&image, database.url(), &port);
    assert_eq!(code, UNHEALTHY);
    assert!(output.contains("snapshot was never applied to the database"), "{output}");

    // Liveness does not ask the database.
    let live = probe(image.command("postgres://u@127.0.0.1:1/d", &["healthcheck"]).env("PORT", &port));
    assert_eq!(live, (0, String::new()));
}

#[test]
fn probes_follow_the_server_to_its_socket() {
    let image = Image::new();
    let path = image.path("db-init/socket");
    let listener = UnixListener::bind(&path).expect("a new file");
    std::thread::spawn(move || answer(&mut listener.accept().expect("a client").0, "200 OK"));
    let mut command = image.command("", &["healthcheck"]);
    assert_eq!(probe(command.env("UNIX_SOCKET_PATH", &path)), (0, String::new()));
}
