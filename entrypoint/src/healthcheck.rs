//! `entrypoint healthcheck`: checks that the server in this container answers.
//!
//! Uses only `std` and no async runtime, because the engine runs it every few seconds.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::config::{Env, Problems};
use contract::{DEFAULT_PORT, PING_PATH};

/// The time limit for the whole check; shorter than the image's `HEALTHCHECK --timeout`.
const DEADLINE: Duration = Duration::from_secs(4);

/// Requests the server's ping endpoint.
///
/// # Errors
/// The reason why the server is not healthy.
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
    let head = request_head(host, port, deadline).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{host}:{port} does not answer within {} s", deadline.as_secs())
        }
        _ => format!("{host}:{port}: {error}"),
    })?;
    match head.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        Some(code) => Err(format!("{host}:{port}{PING_PATH} answers {code}")),
        None => Err(format!("{host}:{port} does not answer over HTTP")),
    }
}

/// Requests [`PING_PATH`] and returns the beginning of the response, at least its first line.
fn request_head(host: &str, port: u16, deadline: Duration) -> io::Result<String> {
    let began = Instant::now();
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, deadline)?;
    stream.set_write_timeout(Some(deadline))?;
    let request = format!("GET {PING_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut chunk = [0; 256];
    // The deadline also applies to a server that sends single bytes.
    while !head.contains(&b'\n') && head.len() < 1024 {
        let left = deadline.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Starts a server that answers one connection after a delay, and returns its port.
    fn server(answer: &'static str, after: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("the listener is bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client connects");
            // Closing the socket with unread data would reset the connection and lose the answer.
            let mut request = [0; 512];
            assert!(stream.read(&mut request).expect("the client sends a request") > 0);
            std::thread::sleep(after);
            // In one test, the client has given up.
            drop(stream.write_all(answer.as_bytes()));
        });
        port
    }

    #[test]
    fn status_200_is_healthy() {
        let port = server("HTTP/1.1 200 OK\r\n\r\npong", Duration::ZERO);
        assert_eq!(ping("127.0.0.1", port, DEADLINE), Ok(()));
    }

    #[test]
    fn any_other_answer_is_unhealthy() {
        let port = server("HTTP/1.1 503 Service Unavailable\r\n\r\n", Duration::ZERO);
        assert_eq!(ping("127.0.0.1", port, DEADLINE), Err(format!("127.0.0.1:{port}/server/ping answers 503")));
        let port = server("SSH-2.0-OpenSSH\n", Duration::ZERO);
        assert!(ping("127.0.0.1", port, DEADLINE).is_err());
        let port = server("", Duration::ZERO);
        assert!(ping("127.0.0.1", port, DEADLINE).is_err());
    }

    #[test]
    fn hanging_server_is_unhealthy_after_the_deadline() {
        let port = server("", Duration::from_secs(2));
        let complaint = ping("127.0.0.1", port, Duration::from_millis(200)).expect_err("the server hangs");
        assert!(complaint.contains("does not answer"), "{complaint}");
    }

    #[test]
    fn port_without_a_listener_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("the listener is bound").port();
        drop(listener);
        let complaint = ping("127.0.0.1", port, DEADLINE).expect_err("there is no listener");
        assert!(complaint.contains("refused"), "{complaint}");
    }
}
