//! The docker command's context: engines such as Colima, Docker Desktop and rootless ones have a socket of their own, and
//! a context that names it.

use std::env;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::cmd::Cmd;

/// The part of `~/.docker/config.json` that says which context counts.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    current_context: Option<String>,
}

/// The socket of the current context; `None` where the default one counts.
///
/// # Errors
/// A context that is not there, or that names no socket of this machine.
pub(super) async fn socket() -> anyhow::Result<Option<String>> {
    let Some(context) = current(&env::var("DOCKER_HOST").ok(), &env::var("DOCKER_CONTEXT").ok(), &config()) else {
        return Ok(None);
    };
    let format = "{{.Endpoints.docker.Host}}";
    let host = Cmd::new("docker").args(["context", "inspect", "--format", format, &context]).read().await?;
    match host.strip_prefix("unix://").or_else(|| host.strip_prefix("npipe://")) {
        Some(socket) => Ok(Some(socket.to_owned())),
        None => bail!("the docker context {context} is at {host}, and only a socket of this machine will do"),
    }
}

/// Words for an engine that the environment or a context names; `None` for the default one.
pub(super) fn named() -> Option<String> {
    let host = env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let context = || current(&None, &env::var("DOCKER_CONTEXT").ok(), &config());
    host.map(|host| format!("DOCKER_HOST={host}"))
        .or_else(|| context().map(|name| format!("the docker context {name}")))
}

/// The context that the docker command uses; `None` for the default one, and where `DOCKER_HOST` stands above it.
fn current(host: &Option<String>, variable: &Option<String>, config: &Config) -> Option<String> {
    let is_set = |text: &&String| !text.is_empty();
    if host.as_ref().is_some_and(|host| is_set(&host)) {
        return None;
    }
    let context = variable.as_ref().filter(is_set).or(config.current_context.as_ref().filter(is_set))?;
    (context != "default").then(|| context.clone())
}

/// A file that is not there, or that nobody can read, names no context: the docker command itself will complain.
fn config() -> Config {
    let folder = env::var("DOCKER_CONFIG").ok().or_else(|| Some(format!("{}/.docker", env::var("HOME").ok()?)));
    let text = folder.and_then(|folder| std::fs::read_to_string(format!("{folder}/config.json")).ok());
    text.and_then(|text| serde_json::from_str(&text).context("no configuration").ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Config, current};

    fn of(host: &str, variable: &str, config: &str) -> Option<String> {
        let text = |text: &str| Some(text.to_owned());
        current(&text(host), &text(variable), &serde_json::from_str::<Config>(config).unwrap())
    }

    #[test]
    fn the_context_is_that_of_the_docker_command() {
        let colima = r#"{"currentContext": "colima", "auths": {}}"#;
        assert_eq!(of("", "", colima).as_deref(), Some("colima"));
        assert_eq!(of("", "rootless", colima).as_deref(), Some("rootless"));
        assert_eq!(of("unix:///x", "rootless", colima), None);
        assert_eq!(of("", "", "{}"), None);
        assert_eq!(of("", "", r#"{"currentContext": "default"}"#), None);
    }
}
