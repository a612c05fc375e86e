//! The docker command's context. Engines such as Colima, Docker Desktop and rootless ones have their own socket, and a
//! context that names it.

use std::env;
use std::path::PathBuf;

use anyhow::bail;
use serde::Deserialize;

use crate::cmd::Cmd;

/// The part of `~/.docker/config.json` that names the current context.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    current_context: Option<String>,
}

/// An engine other than the default one.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// By `DOCKER_HOST`, which bollard reads too.
    Host(String),
    Context(String),
}

/// Returns the socket of the current context; `None` where `DOCKER_HOST` is set or the default context is used.
///
/// # Errors
/// A context that does not exist, or that does not name a local socket.
pub(super) async fn socket() -> anyhow::Result<Option<String>> {
    let Some(Named::Context(context)) = of_environment() else { return Ok(None) };
    let host = host_of(&context).await?;
    match local_socket(&host) {
        Some(socket) => Ok(Some(socket.to_owned())),
        None => bail!("the docker context {context} is at {host}, but only a local socket is supported"),
    }
}

/// Returns true if the engine has no local socket: it is reached over SSH or TCP.
///
/// # Errors
/// A context that does not exist.
pub(super) async fn is_remote() -> anyhow::Result<bool> {
    Ok(match of_environment() {
        Some(Named::Host(host)) => local_socket(&host).is_none(),
        Some(Named::Context(context)) => local_socket(&host_of(&context).await?).is_none(),
        None => false,
    })
}

async fn host_of(context: &str) -> anyhow::Result<String> {
    let format = "{{.Endpoints.docker.Host}}";
    Cmd::new("docker").args(["context", "inspect", "--format", format, context]).read().await
}

fn local_socket(host: &str) -> Option<&str> {
    host.strip_prefix("unix://").or_else(|| host.strip_prefix("npipe://"))
}

/// Describes the engine that the environment or a context names; `None` for the default one.
pub(super) fn named() -> Option<String> {
    of_environment().map(|named| match named {
        Named::Host(host) => format!("DOCKER_HOST={host}"),
        Named::Context(context) => format!("the docker context {context}"),
    })
}

fn of_environment() -> Option<Named> {
    let [host, context] = ["DOCKER_HOST", "DOCKER_CONTEXT"].map(|name| env::var(name).unwrap_or_default());
    choose(&host, &context, config())
}

/// Chooses as the docker command does. An empty string counts as not set.
fn choose(host: &str, context: &str, config: DockerConfig) -> Option<Named> {
    if !host.is_empty() {
        return Some(Named::Host(host.to_owned()));
    }
    let context = if context.is_empty() { config.current_context.unwrap_or_default() } else { context.to_owned() };
    (!context.is_empty() && context != "default").then_some(Named::Context(context))
}

/// Reads the docker command's configuration. A missing or unreadable file counts as one without a context, because the
/// docker command itself reports the problem.
fn config() -> DockerConfig {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    // Not by HOME, which Windows does not set.
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".docker")));
    let text = folder.and_then(|folder| std::fs::read_to_string(folder.join("config.json")).ok());
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Named, choose, local_socket};

    fn of(host: &str, variable: &str, config: &str) -> Option<Named> {
        choose(host, variable, serde_json::from_str(config).unwrap())
    }

    fn context(name: &str) -> Option<Named> {
        Some(Named::Context(name.to_owned()))
    }

    #[test]
    fn only_a_socket_of_this_machine_is_local() {
        assert_eq!(local_socket("unix:///run/docker.sock"), Some("/run/docker.sock"));
        assert_eq!(["ssh://me@swarm.example.com", "tcp://10.0.0.1:2376"].map(local_socket), [None, None]);
    }

    #[test]
    fn the_context_is_that_of_the_docker_command() {
        let colima = r#"{"currentContext": "colima", "auths": {}}"#;
        assert_eq!(of("", "", colima), context("colima"));
        assert_eq!(of("", "rootless", colima), context("rootless"));
        assert_eq!(of("unix:///x", "rootless", colima), Some(Named::Host("unix:///x".to_owned())));
        assert_eq!(of("", "", "{}"), None);
        assert_eq!(of("", "", r#"{"currentContext": "default"}"#), None);
    }
}
