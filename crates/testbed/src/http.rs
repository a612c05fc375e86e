//! HTTP requests to a server on loopback.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// A client for a server on this machine's loopback. No status is an error.
pub fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // A proxy of the environment cannot reach this machine's loopback.
        .proxy(None)
        .build()
        .into()
}

/// Logs in with e-mail and password, as the admin UI does, to verify the credentials that a command prints.
pub fn login(url: &str, email: &str, password: &str) -> anyhow::Result<()> {
    let agent = agent(Duration::from_secs(30));
    let url = format!("{url}/auth/login");
    let mut response = agent
        .post(&url)
        .send_json(json!({ "email": email, "password": password }))
        .with_context(|| format!("failed to log in at {url}"))?;
    let answer: Value = response.body_mut().read_json().with_context(|| format!("{url} did not answer with JSON"))?;
    if let Some(reason) = refusal(response.status().as_u16(), &answer) {
        bail!("the login of {email} at {url} was refused: {reason}");
    }
    Ok(())
}

/// Returns the reason why an answer is not a login; `None` for a login.
fn refusal(status: u16, answer: &Value) -> Option<String> {
    if status == 200 && answer["data"]["access_token"].is_string() {
        return None;
    }
    let message = answer["errors"][0]["message"].as_str().unwrap_or("no access token in the answer");
    Some(format!("{message} (HTTP {status})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::refusal;

    #[test]
    fn only_an_access_token_is_a_login() {
        assert_eq!(refusal(200, &json!({"data": {"access_token": "a"}})), None);
        assert_eq!(refusal(200, &json!({})).unwrap(), "no access token in the answer (HTTP 200)");
    }

    #[test]
    fn a_refusal_contains_the_message_of_directus() {
        let answer = json!({"errors": [{"message": "Invalid user credentials."}]});
        assert_eq!(refusal(401, &answer).unwrap(), "Invalid user credentials. (HTTP 401)");
    }
}
