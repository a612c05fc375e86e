//! Directus' REST API, as its administrator.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::PING_PATH;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http;

/// Time for which a server may refuse a request because it is under pressure.
const PRESSURE_DEADLINE: Duration = Duration::from_secs(30);
const PRESSURE_PAUSE: Duration = Duration::from_millis(500);

/// A client that is logged in.
#[derive(Clone, Debug)]
pub struct Api {
    url: String,
    token: String,
}

/// A response of the server.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status code.
    pub status: u16,
    /// The body; a string if it is not JSON.
    pub body: Value,
}

impl Api {
    /// Logs in at the server's base URL.
    pub async fn login(url: String, email: &str, password: &str) -> anyhow::Result<Api> {
        let api = Api { url, token: String::new() };
        let answer = api.call("POST", "/auth/login", Some(json!({ "email": email, "password": password }))).await?;
        let token = answer.body["data"]["access_token"].as_str();
        let token = token.with_context(|| format!("the login of {email} was refused (HTTP {})", answer.status))?;
        Ok(Api { token: format!("Bearer {token}"), ..api })
    }

    /// Returns the access token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.trim_start_matches("Bearer ")
    }

    /// Returns the `data` of a response; any status but 200 is an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.call("GET", path, None).await?;
        ensure!(answer.status == 200, "GET {path} answers {}: {}", answer.status, answer.body);
        Ok(answer.body["data"].clone())
    }

    /// Creates an item, and returns its `data`; any status but 200 and 204 is an error.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.call("POST", path, Some(body)).await?;
        ensure!(matches!(answer.status, 200 | 204), "POST {path} answers {}: {}", answer.status, answer.body);
        Ok(answer.body["data"].clone())
    }

    /// Changes an item, and returns its `data`; any status but 200 is an error.
    pub async fn patch(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.call("PATCH", path, Some(body)).await?;
        ensure!(answer.status == 200, "PATCH {path} answers {}: {}", answer.status, answer.body);
        Ok(answer.body["data"].clone())
    }

    /// Deletes an item; any status but 204 is an error.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.call("DELETE", path, None).await?;
        ensure!(answer.status == 204, "DELETE {path} answers {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// Sends a request and returns the response; no status is an error. A server under pressure is asked again.
    pub async fn call(&self, method: &'static str, path: &str, body: Option<Value>) -> anyhow::Result<ApiResponse> {
        let began = Instant::now();
        loop {
            let (url, token, body) = (format!("{}{path}", self.url), self.token.clone(), body.clone());
            // The client blocks; other checks must continue meanwhile.
            let answer = tokio::task::spawn_blocking(move || send(method, &url, &token, body)).await;
            let answer = answer.context("the request panicked")??;
            if !answer.is_under_pressure() || began.elapsed() > PRESSURE_DEADLINE {
                return Ok(answer);
            }
            tokio::time::sleep(PRESSURE_PAUSE).await;
        }
    }
}

impl ApiResponse {
    /// Returns true if Directus' pressure limiter refused the request, because the machine is busy. Nothing was done then.
    fn is_under_pressure(&self) -> bool {
        self.status == 503 && self.body["errors"][0]["extensions"]["reason"] == "Under pressure"
    }
}

/// Returns the path of a collection's items.
#[must_use]
pub fn items_path(collection: &str) -> String {
    match collection.strip_prefix("directus_") {
        Some(system) => format!("/{system}"),
        None => format!("/items/{collection}"),
    }
}

/// Returns true if a server on this machine's loopback answers a ping with 200 within 5 seconds.
pub async fn ping(port: u16) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {PING_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head.ends_with(b" 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(5), answer).await, Ok(Ok(true)))
}

fn send(method: &str, url: &str, token: &str, body: Option<Value>) -> anyhow::Result<ApiResponse> {
    let agent = http::agent(Duration::from_secs(60));
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if !token.is_empty() {
        request = request.header("authorization", token);
    }
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.header("content-type", "application/json").body(text)?;
    let mut response = agent.run(request).with_context(|| format!("{method} {url} failed"))?;
    let text = response.body_mut().read_to_string().with_context(|| format!("{method} {url}: no answer"))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(ApiResponse { status: response.status().as_u16(), body })
}
