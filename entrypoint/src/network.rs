//! Addresses, TCP connections and attempts at servers, with time limits that hold on networks that do not answer.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::backoff;
use crate::log::Log;

/// Time limit for one attempt; bounds a frozen server and a black-holed address.
pub const ATTEMPT: Duration = Duration::from_secs(5);
/// Shortest time for the last attempt, which may exceed the deadline by it.
const LAST_ATTEMPT: Duration = Duration::from_millis(200);
/// Interval at which the same reason is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// Time for one of several addresses. The last one has all the time that is left.
const ADDRESS: Duration = Duration::from_secs(1);

/// The error of one attempt to reach a server.
#[derive(Debug)]
pub enum FailedAttempt<E> {
    /// Another attempt cannot succeed.
    Final(E),
    /// Another attempt may succeed.
    Transient {
        /// The reason, for the log.
        reason: String,
        /// The error if the deadline has passed.
        error: E,
    },
}

/// Repeats an attempt, which has a time limit, until it succeeds, cannot succeed, or the deadline passes. Logs the reason of
/// a failed one: the first, each that differs from the one before it, and otherwise one in five seconds.
///
/// # Errors
/// The error of the last attempt.
pub async fn until_reached<T, E>(
    server: &str,
    deadline: Duration,
    log: &Log,
    mut attempt: impl AsyncFnMut(Duration) -> Result<T, FailedAttempt<E>>,
) -> Result<T, E> {
    let began = Instant::now();
    let mut logged: Option<(String, Instant)> = None;
    loop {
        let left = deadline.saturating_sub(began.elapsed()).max(LAST_ATTEMPT);
        let (reason, error) = match attempt(ATTEMPT.min(left)).await {
            Ok(reached) => return Ok(reached),
            Err(FailedAttempt::Final(error)) => return Err(error),
            Err(FailedAttempt::Transient { reason, error }) => (reason, error),
        };
        if began.elapsed() >= deadline {
            return Err(error);
        }
        if logged.as_ref().is_none_or(|(before, when)| *before != reason || when.elapsed() >= LOG_INTERVAL) {
            log.note(format!("waiting for {server} ({reason}), {} s", began.elapsed().as_secs()));
            logged = Some((reason, Instant::now()));
        }
        let left = deadline.saturating_sub(began.elapsed());
        sleep(backoff::pause(began.elapsed(), Duration::ZERO).min(left)).await;
    }
}

/// The addresses of a host, in the system's order. A name server that does not answer delays nothing but this: the
/// system's look-up cannot be interrupted, so it has a thread of its own that may be left behind.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (send, found) = oneshot::channel();
    let host = host.to_owned();
    std::thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The attempt may be over already.
        drop(send.send(addresses));
    });
    found.await.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
}

/// The first address that TCP connects to, as Node chooses it. The first error is reported: the others are often only
/// the lack of IPv6.
pub async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut first = None;
    for (index, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let connected = if index + 1 < addresses.len() {
            timeout(ADDRESS, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        } else {
            attempt.await
        };
        match connected {
            Ok(stream) => {
                keep_alive(&stream)?;
                return Ok(stream);
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::Error::other("the host name has no address")))
}

/// A cut network is noticed in about five seconds instead of never.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(2)).with_interval(Duration::from_secs(1));
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(5)))?;
    Ok(())
}

/// Describes an error of a connection in words that need no knowledge of the system's.
#[must_use]
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "the connection was closed".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::log::LogStyle;

    /// The result of attempts that answer in turn, and their number.
    async fn reached(answers: &[Result<(), FailedAttempt<&'static str>>]) -> (Result<(), &'static str>, usize) {
        let mut attempts = 0;
        let attempt = async |_| {
            attempts += 1;
            match &answers[(attempts - 1).min(answers.len() - 1)] {
                Ok(()) => Ok(()),
                Err(FailedAttempt::Final(error)) => Err(FailedAttempt::Final(*error)),
                Err(FailedAttempt::Transient { reason, error }) => {
                    Err(FailedAttempt::Transient { reason: reason.clone(), error: *error })
                }
            }
        };
        let result = until_reached("a server", Duration::from_millis(300), &Log::new(LogStyle::Text), attempt).await;
        (result, attempts)
    }

    #[tokio::test]
    async fn attempts_are_repeated_until_success_a_final_error_or_the_deadline() {
        let transient = |error| Err(FailedAttempt::Transient { reason: "starting".to_owned(), error });
        assert_eq!(reached(&[transient("a"), Ok(())]).await, (Ok(()), 2));
        assert_eq!(reached(&[transient("a"), Err(FailedAttempt::Final("b"))]).await, (Err("b"), 2));
        let (result, attempts) = reached(&[transient("a"), transient("b")]).await;
        assert!(result == Err("b") && attempts > 1, "{result:?} after {attempts}");
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_hide_a_live_second_one() {
        let live = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let stream = dial(&[dead, live.local_addr().expect("bound")]).await.expect("the second one");
        assert_eq!(stream.peer_addr().ok(), live.local_addr().ok());
    }

    #[tokio::test]
    async fn the_first_address_names_the_reason() {
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let unroutable = "[::ffff:0:0]:1".parse().expect("an address");
        let error = dial(&[dead, unroutable]).await.expect_err("both are dead");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        assert_eq!(resolve("::1", 5432).await.expect("an address"), ["[::1]:5432".parse().expect("an address")]);
        assert!(resolve("no-such-host.invalid", 1).await.is_err());
    }
}
