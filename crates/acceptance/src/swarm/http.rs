//! One HTTP request on a connection of its own, so that the load measures what a client sees and nothing is hidden by a
//! client library's retries.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time limit of a request; longer than any that the proxy sets.
const LIMIT: Duration = Duration::from_secs(30);

/// The proxy with the credentials of a user.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The proxy's port on this machine's loopback.
    pub(crate) port: u16,
    /// The access token.
    pub(crate) token: String,
}

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    /// The address of the replica, as the proxy reports it; empty if the proxy itself answered.
    pub(crate) replica: String,
    /// The body; null if it is empty, a string if it is not JSON.
    pub(crate) body: Value,
}

impl HttpAnswer {
    /// The `data` of a success; otherwise the reason why it is not one.
    pub(crate) fn data(&self) -> Result<&Value, String> {
        if self.status == 200 {
            return Ok(&self.body["data"]);
        }
        let replica = if self.replica.is_empty() { "the proxy" } else { &self.replica };
        Err(format!("HTTP {} of {replica}: {}", self.status, self.body))
    }
}

impl Target {
    /// Sends a request and reads the whole response; the error is the reason why there is none.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<HttpAnswer, String> {
        match tokio::time::timeout(LIMIT, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<HttpAnswer, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let connected = TcpStream::connect(("127.0.0.1", self.port)).await;
        let mut stream = connected.map_err(|error| format!("no connection to the proxy: {error}"))?;
        stream.write_all(request.as_bytes()).await.map_err(|error| format!("failed to send: {error}"))?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        read.map_err(|error| format!("the connection broke after {} bytes: {error}", answer.len()))?;
        parse(&answer)
    }
}

/// Parses a response that ended with its connection. One that is shorter than it announces is an error.
fn parse(answer: &[u8]) -> Result<HttpAnswer, String> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(format!("the connection was closed after {} bytes, within the head of the answer", answer.len()));
    };
    let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("the answer is not HTTP: {head}"))?;
    if let Some(length) = header(head, "content-length")
        && length.parse() != Ok(body.len())
    {
        return Err(format!("the answer was cut off: {} of {length} bytes", body.len()));
    }
    let body = match body {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(HttpAnswer { status, replica: header(head, "x-replica").unwrap_or_default().to_owned(), body })
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_has_a_status_a_replica_and_a_body() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-Replica: 10.0.1.3\r\n\r\n{\"data\":[1]}").unwrap();
        assert_eq!((answer.status, answer.replica.as_str()), (200, "10.0.1.3"));
        assert_eq!(answer.data().unwrap()[0], 1);
        let refused = parse(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(refused.data().unwrap_err(), "HTTP 403 of the proxy: null");
    }

    #[test]
    fn an_answer_that_was_cut_off_is_a_failure() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}").unwrap_err().contains("2 of 20 bytes"));
        assert!(parse(b"HTTP/1.1 200 OK\r\nCont").unwrap_err().contains("within the head"));
        assert!(parse(b"").unwrap_err().contains("after 0 bytes"));
    }
}
