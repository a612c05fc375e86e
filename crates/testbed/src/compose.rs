//! The development stack, through `docker compose`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cmd::Cmd;

/// The service of our image.
pub const DIRECTUS: &str = "directus";
/// The service of the database.
pub const DATABASE: &str = "db";

const FILE: &str = "compose.dev.yaml";

/// A stack: one compose project, with the variables that its file is read with.
#[derive(Clone, Debug)]
pub struct Compose {
    project: String,
    variables: Vec<(&'static str, String)>,
}

impl Compose {
    /// The stack of that project name.
    pub fn new(project: &str) -> Compose {
        Compose { project: project.to_owned(), variables: Vec::new() }
    }

    /// Sets a variable that the compose file reads.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }

    /// Its project name.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// A `docker compose` command about it.
    pub fn cmd<const N: usize>(&self, arguments: [&str; N]) -> Cmd {
        self.with_variables(Cmd::new("docker").arg("compose")).args(arguments)
    }

    /// The same without a line for each container, network and volume; errors are shown.
    fn quiet_cmd<const N: usize>(&self, arguments: [&str; N]) -> Cmd {
        self.with_variables(Cmd::new("docker").args(["compose", "--progress", "quiet"])).args(arguments)
    }

    fn with_variables(&self, cmd: Cmd) -> Cmd {
        let cmd = cmd.args(["--file", FILE, "--project-name", &self.project]);
        self.variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(*name, value.clone()))
    }

    /// The compose file with every variable filled in.
    pub async fn config(&self) -> anyhow::Result<Config> {
        let json = self.cmd(["config", "--format", "json"]).read().await?;
        serde_json::from_str(&json).context("failed to read what `docker compose config` says")
    }

    /// Removes containers and networks, and volumes too if that is wanted.
    pub async fn down(&self, volumes: bool) -> anyhow::Result<()> {
        let cmd = self.quiet_cmd(["down", "--remove-orphans"]);
        // A database that is thrown away need not end cleanly.
        let cmd = if volumes { cmd.args(["--volumes", "--timeout", "0"]) } else { cmd };
        cmd.run().await
    }

    /// Starts it from images that are there, and does not wait.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.quiet_cmd(["up", "--detach", "--no-build", "--pull", "never"]).run().await
    }

    /// The id of a service's container, running or not.
    pub async fn container(&self, service: &str) -> anyhow::Result<Option<String>> {
        let ids = self.cmd(["ps", "--all", "--quiet", service]).read().await?;
        Ok(ids.lines().next().map(str::to_owned))
    }
}

/// What of a compose file matters here.
#[derive(Debug, Deserialize)]
pub struct Config {
    services: BTreeMap<String, Service>,
}

impl Config {
    /// A service by its name.
    pub fn service(&self, name: &str) -> anyhow::Result<&Service> {
        self.services.get(name).with_context(|| format!("{FILE} has no service {name}"))
    }
}

/// One service.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// Its image.
    #[serde(default)]
    pub image: String,
    /// Its variables; null is one that is passed through.
    #[serde(default)]
    environment: BTreeMap<String, Option<String>>,
}

impl Service {
    /// The value that a variable of the container has.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)?.as_deref()
    }
}

/// How long a stack may take from its start until it is healthy.
pub const BOOT_DEADLINE: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::{Compose, Config};

    #[test]
    fn commands_name_file_and_project_and_hide_values() {
        let mut compose = Compose::new("other");
        compose.set("IMAGE", "hidden");
        let expected = "docker compose --file compose.dev.yaml --project-name other ps --quiet";
        assert_eq!(compose.cmd(["ps", "--quiet"]).to_string(), expected);
    }

    #[test]
    fn variables_are_read_from_what_compose_says() {
        let json = r#"{"name":"x","services":{"directus":{"image":"a:b","environment":{"A":"1","B":null}},"db":{}}}"#;
        let config: Config = serde_json::from_str(json).unwrap();
        let service = config.service("directus").unwrap();
        assert_eq!((service.image.as_str(), service.variable("A"), service.variable("B")), ("a:b", Some("1"), None));
        assert_eq!(config.service("web").unwrap_err().to_string(), "compose.dev.yaml has no service web");
    }
}
