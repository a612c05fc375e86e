//! The development stack, through `docker compose`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cmd::Cmd;
use crate::engine::Engine;

/// The service of our image.
pub const DIRECTUS: &str = "directus";
/// The service of the database.
pub const DATABASE: &str = "db";

const FILE: &str = "compose.dev.yaml";

/// A stack: one compose project, with values for the variables of its file.
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

    /// The name of the compose project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// A `docker compose` command for this stack.
    pub fn cmd<const N: usize>(&self, arguments: [&str; N]) -> Cmd {
        self.with_variables(Cmd::new("docker").arg("compose")).args(arguments)
    }

    /// [`Compose::cmd`] without a line for each container, network and volume; errors are shown.
    fn quiet_cmd<const N: usize>(&self, arguments: [&str; N]) -> Cmd {
        self.with_variables(Cmd::new("docker").args(["compose", "--progress", "quiet"])).args(arguments)
    }

    fn with_variables(&self, cmd: Cmd) -> Cmd {
        let cmd = cmd.args(["--file", FILE, "--project-name", &self.project]);
        self.variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(*name, value.clone()))
    }

    /// Returns the compose file with all variables resolved.
    pub async fn config(&self) -> anyhow::Result<ComposeConfig> {
        let json = self.cmd(["config", "--format", "json"]).read().await?;
        serde_json::from_str(&json).context("failed to parse the output of `docker compose config`")
    }

    /// Removes containers and networks, optionally with the volumes.
    pub async fn down(&self, volumes: bool) -> anyhow::Result<()> {
        let cmd = self.quiet_cmd(["down", "--remove-orphans"]);
        // A database that is discarded need not shut down cleanly.
        let cmd = if volumes { cmd.args(["--volumes", "--timeout", "0"]) } else { cmd };
        cmd.run().await
    }

    /// Starts these services, or all if the list is empty, from local images, and does not wait for them.
    pub async fn up(&self, services: &[&str]) -> anyhow::Result<()> {
        self.quiet_cmd(["up", "--detach", "--no-build", "--pull", "never"]).args(services).run().await
    }

    /// Returns the id of a service's container, running or not. The engine's answer takes a tenth of the time of `docker
    /// compose ps`.
    pub async fn container(&self, engine: &Engine, service: &str) -> anyhow::Result<Option<String>> {
        let of_service = engine.containers_with(&format!("com.docker.compose.service={service}")).await?;
        let of_project = engine.containers_with(&self.label()).await?;
        Ok(of_project.into_iter().map(|found| found.id).find(|id| of_service.iter().any(|other| other.id == *id)))
    }

    fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.project)
    }

    /// Returns true if the project has a container or a volume.
    pub async fn exists(&self, engine: &Engine) -> anyhow::Result<bool> {
        let label = self.label();
        Ok(!engine.containers_with(&label).await?.is_empty() || !engine.volumes_with(&label).await?.is_empty())
    }
}

/// The parts of a compose file that are read here.
#[derive(Debug, Deserialize)]
pub struct ComposeConfig {
    services: BTreeMap<String, Service>,
}

impl ComposeConfig {
    /// Returns a service by name.
    pub fn service(&self, name: &str) -> anyhow::Result<&Service> {
        self.services.get(name).with_context(|| format!("{FILE} has no service {name}"))
    }
}

/// One service of a compose file.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// The image's name; empty if the file sets none.
    #[serde(default)]
    pub image: String,
    /// A null value is passed through from the environment.
    #[serde(default)]
    environment: BTreeMap<String, Option<String>>,
}

impl Service {
    /// Returns the value of a variable of the container.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)?.as_deref()
    }

    /// Returns the value of a variable of the container, which the file must set.
    pub fn required(&self, name: &str) -> anyhow::Result<&str> {
        self.variable(name).with_context(|| format!("{FILE} does not set {name}"))
    }
}

/// Time from a stack's start until it is healthy.
pub const BOOT_DEADLINE: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::{Compose, ComposeConfig};

    #[test]
    fn commands_name_file_and_project_and_hide_values() {
        let mut compose = Compose::new("other");
        compose.set("IMAGE", "hidden");
        let expected = "docker compose --file compose.dev.yaml --project-name other ps --quiet";
        assert_eq!(compose.cmd(["ps", "--quiet"]).to_string(), expected);
    }

    #[test]
    fn variables_are_read_from_the_output_of_compose() {
        let json = r#"{"name":"x","services":{"directus":{"image":"a:b","environment":{"A":"1","B":null}},"db":{}}}"#;
        let config: ComposeConfig = serde_json::from_str(json).unwrap();
        let service = config.service("directus").unwrap();
        assert_eq!((service.image.as_str(), service.variable("A"), service.variable("B")), ("a:b", Some("1"), None));
        assert_eq!(service.required("A").unwrap(), "1");
        assert_eq!(service.required("B").unwrap_err().to_string(), "compose.dev.yaml does not set B");
        assert_eq!(config.service("web").unwrap_err().to_string(), "compose.dev.yaml has no service web");
    }
}
