//! Phase 2: waits until Redis answers, if the variables name one.
//!
//! A server of Directus whose Redis does not answer prints errors without end and never serves. The flush of the caches
//! after a changed schema needs it too.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config::{RedisAddress, RedisConfig};
use crate::log::Log;
use crate::network::{FailedAttempt, describe, dial, resolve, until_reached};
use contract::failure;

/// Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It did not answer in time.
    #[error("no connection to Redis at {target} within {} s: {last}; {}", waited.as_secs(), failure::SERVICE.ending())]
    Unreachable {
        /// `host:port` or the path of a socket.
        target: RedisAddress,
        /// The deadline that passed.
        waited: Duration,
        /// The error of the last attempt.
        last: String,
    },
    /// It refuses the user or the password.
    #[error("Redis at {target} refuses the connection: {reason}; {}", failure::SERVICE_REFUSES.ending())]
    Refused {
        /// `host:port` or the path of a socket.
        target: RedisAddress,
        /// Redis' message.
        reason: String,
    },
}

/// The result of one attempt that reached the server.
#[derive(Debug, PartialEq, Eq)]
enum RedisAnswer {
    Ready,
    /// Loading its data, for example.
    NotReady(String),
    Refused(String),
}

/// Connects, and retries until Redis answers or the deadline passes.
///
/// # Errors
/// [`RedisError`].
pub async fn wait(config: &RedisConfig, deadline: Duration, log: &Log) -> Result<(), RedisError> {
    let server = format!("Redis at {}", config.address);
    let attempt = async |limit| {
        let target = config.address.clone();
        let reason = match timeout(limit, ask(config)).await {
            Ok(Ok(RedisAnswer::Ready)) => return Ok(()),
            Ok(Ok(RedisAnswer::Refused(reason))) => {
                return Err(FailedAttempt::Final(RedisError::Refused { target, reason }));
            }
            Ok(Ok(RedisAnswer::NotReady(reason))) => reason,
            Ok(Err(error)) => describe(&error),
            Err(_) => "no answer".to_owned(),
        };
        let error = RedisError::Unreachable { target, waited: deadline, last: reason.clone() };
        Err(FailedAttempt::Transient { reason, error })
    };
    until_reached(&server, deadline, log, attempt).await
}

async fn ask(config: &RedisConfig) -> io::Result<RedisAnswer> {
    match &config.address {
        RedisAddress::Socket(path) => ping(UnixStream::connect(path).await?, config).await,
        RedisAddress::Tcp(host, port) => {
            let stream = dial(&resolve(host, *port).await?).await?;
            // Of an encrypted server, the connection is all that is checked.
            if config.is_encrypted { Ok(RedisAnswer::Ready) } else { ping(stream, config).await }
        }
    }
}

/// Logs in and sends PING.
async fn ping(stream: impl AsyncRead + AsyncWrite + Unpin, config: &RedisConfig) -> io::Result<RedisAnswer> {
    let mut stream = BufReader::new(stream);
    if let Some((user, password)) = &config.credentials {
        let arguments = user.as_deref().into_iter().chain([password.reveal()]);
        stream.write_all(&command(&[&["AUTH"], &arguments.collect::<Vec<_>>()[..]].concat())).await?;
        match reply(&mut stream).await?.as_str() {
            // A server without a password, which ioredis accepts.
            error if error.contains("without any password") => {}
            error if error.starts_with('-') => return Ok(RedisAnswer::Refused(error[1..].to_owned())),
            _ => {}
        }
    }
    stream.write_all(&command(&["PING"])).await?;
    Ok(judge(&reply(&mut stream).await?))
}

/// A command in Redis' protocol: an array of texts with their lengths.
fn command(words: &[&str]) -> Vec<u8> {
    let texts: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{texts}", words.len()).into_bytes()
}

async fn reply(stream: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

/// Judges the reply to PING.
fn judge(reply: &str) -> RedisAnswer {
    let Some(error) = reply.strip_prefix('-') else {
        let is_redis = reply.starts_with(['+', '$', '*']);
        return if is_redis {
            RedisAnswer::Ready
        } else {
            RedisAnswer::Refused("it does not answer as Redis does".to_owned())
        };
    };
    match error.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "DENIED" => RedisAnswer::Refused(error.to_owned()),
        "LOADING" | "MASTERDOWN" | "BUSY" => RedisAnswer::NotReady(error.to_owned()),
        // A user that may not PING may be one that Directus can work with.
        _ => RedisAnswer::Ready,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::log::LogStyle;
    use crate::secret::Secret;

    /// A server that sends these replies, one for each command.
    async fn server(replies: &'static [&'static str]) -> RedisConfig {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                for reply in replies {
                    let mut chunk = [0; 256];
                    if !matches!(stream.read(&mut chunk).await, Ok(1..)) {
                        break;
                    }
                    stream.write_all(format!("{reply}\r\n").as_bytes()).await.expect("the client reads");
                }
            }
        });
        RedisConfig { address: RedisAddress::Tcp("127.0.0.1".to_owned(), port), credentials: None, is_encrypted: false }
    }

    async fn result(config: &RedisConfig) -> String {
        let log = Log::new(LogStyle::Text);
        match wait(config, Duration::from_millis(300), &log).await {
            Ok(()) => "ready".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn replies_decide() {
        for (replies, expected) in [
            (&["+PONG"][..], "ready"),
            (&["-NOPERM this user may not PING"], "ready"),
            (&["-NOAUTH Authentication required."], "refuses the connection: NOAUTH"),
            (&["-LOADING Redis is loading the dataset in memory"], "within 0 s: LOADING"),
            (&["HTTP/1.1 400 Bad Request"], "does not answer as Redis does"),
        ] {
            let text = result(&server(replies).await).await;
            assert!(text.contains(expected), "{replies:?}: {text}");
        }
    }

    #[tokio::test]
    async fn credentials_are_sent_first_and_never_shown() {
        let password = Secret::new("hunter2".to_owned());
        for (replies, expected) in [
            (&["+OK", "+PONG"][..], "ready"),
            (&["-ERR AUTH <password> called without any password configured", "+PONG"], "ready"),
            (&["-WRONGPASS invalid username-password pair"], "WRONGPASS"),
        ] {
            let credentials = Some((Some("directus".to_owned()), password.clone()));
            let text = result(&RedisConfig { credentials, ..server(replies).await }).await;
            assert!(text.contains(expected) && !text.contains("hunter2"), "{replies:?}: {text}");
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_listen_is_named() {
        let config = server(&[]).await;
        let address = RedisAddress::Tcp("127.0.0.1".to_owned(), 1);
        let text = result(&RedisConfig { address, ..config }).await;
        assert!(text.starts_with("no connection to Redis at 127.0.0.1:1 within 0 s: "), "{text}");
        assert!(text.contains("nothing was changed: check that Redis runs"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_closes_the_connection_is_not_called_a_wrong_postgresql() {
        let text = result(&server(&[]).await).await;
        assert!(text.contains(" within 0 s: the connection was closed; "), "{text}");
    }

    #[test]
    fn commands_are_arrays_of_texts() {
        assert_eq!(command(&["AUTH", "$ä"]), "*2\r\n$4\r\nAUTH\r\n$3\r\n$ä\r\n".as_bytes());
    }
}
