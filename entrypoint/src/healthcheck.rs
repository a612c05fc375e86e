//! `entrypoint healthcheck`: whether the server in this container answers.
//!
//! Plain `std`, no runtime: the engine starts it every few seconds.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::config::{Env, Problems};
use contract::{DEFAULT_PORT, PING_PATH};

/// How long connecting, asking and reading may take together; below the image's `HEALTHCHECK --timeout`.
const DEADLINE: Duration = Duration::from_secs(4);

/// Asks the server's ping.
///
/// # Errors
/// Why it is not healthy, in words.
pub fn check(env: &Env) -> Result<(), String> {
    let mut problems = Problems::default();
    let port = match env.get("PORT", &mut problems) {
        None => DEFAULT_PORT,
        Some(text) => text.parse().map_err(|_| format!("PORT is `{text}`: give a number from 1 to 65535"))?,
    };
    let host = match env.plain("HOST") {
        None | Some("0.0.0.0") => "127.0.0.1",
        Some("::") => "::1",
        Some(host) => host,
    };
    ping(host, port, DEADLINE)
}

fn ping(host: &str, port: u16, deadline: Duration) -> Result<(), String> {
    let began = Instant::now();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("{host}:{port} does not answer within {} s", deadline.as_secs())
        }
        _ => format!("{host}:{port}: {error}"),
    };
    let address = (host, port).to_socket_addrs().map_err(failed)?.next().ok_or(format!("{host} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, deadline).map_err(failed)?;
    stream.set_write_timeout(Some(deadline)).map_err(failed)?;
    let request = format!("GET {PING_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = Vec::new();
    let mut chunk = [0; 256];
    // Only the status line matters; a server that drips bytes does not get more than the deadline either.
    while !head.contains(&b'\n') && head.len() < 1024 {
        let left = deadline.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { return Err(failed(std::io::ErrorKind::TimedOut.into())) };
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        match stream.read(&mut chunk).map_err(failed)? {
            0 => break,
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    let status = String::from_utf8_lossy(&head);
    match status.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        Some(code) => Err(format!("{host}:{port}{PING_PATH} answers {code}")),
        None => Err(format!("{host}:{port} answers no HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers one connection so, after that long.
    fn server(answer: &'static str, after: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            // Closing with a request unread would reset the connection and lose the answer.
            let mut request = [0; 512];
            assert!(stream.read(&mut request).expect("a request") > 0);
            std::thread::sleep(after);
            // A client that gave up is part of the test.
            drop(stream.write_all(answer.as_bytes()));
        });
        port
    }

    #[test]
    fn a_200_is_healthy() {
        let port = server("HTTP/1.1 200 OK\r\n\r\npong", Duration::ZERO);
        assert_eq!(ping("127.0.0.1", port, DEADLINE), Ok(()));
    }

    #[test]
    fn anything_else_is_not() {
        let port = server("HTTP/1.1 503 Service Unavailable\r\n\r\n", Duration::ZERO);
        assert_eq!(ping("127.0.0.1", port, DEADLINE), Err(format!("127.0.0.1:{port}/server/ping answers 503")));
        let port = server("SSH-2.0-OpenSSH\n", Duration::ZERO);
        assert!(ping("127.0.0.1", port, DEADLINE).is_err());
        let port = server("", Duration::ZERO);
        assert!(ping("127.0.0.1", port, DEADLINE).is_err());
    }

    #[test]
    fn a_server_that_hangs_is_unhealthy_before_the_engine_gives_up() {
        let port = server("", Duration::from_secs(2));
        let complaint = ping("127.0.0.1", port, Duration::from_millis(200)).expect_err("it hangs");
        assert!(complaint.contains("does not answer"), "{complaint}");
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let complaint = ping("127.0.0.1", port, DEADLINE).expect_err("nobody is there");
        assert!(complaint.contains("refused"), "{complaint}");
    }
}
