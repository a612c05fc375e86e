//! Containers: creating, starting, watching and removing them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, ExecConfig, HealthConfig, HealthStatusEnum, HostConfig,
    NetworkConnectRequest, NetworkDisconnectRequest, NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, TopOptions,
    UploadToContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep;

use super::{Engine, is_not_found};
use crate::session::EngineSession;

/// Time until the first success of a health check that runs more often than the image's own.
const START_PERIOD: Duration = Duration::from_secs(600);
/// Time for the removal of a container by another client of the engine.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(30);
const REMOVAL_PAUSE: Duration = Duration::from_millis(200);

/// The settings of a new container.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// The image's name or id.
    pub image: String,
    /// The entrypoint, instead of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// The command, instead of the image's own.
    pub command: Option<Vec<String>>,
    /// Environment variables, by name and value.
    pub variables: Vec<(String, String)>,
    /// A TCP port to publish on a free port of this machine's loopback.
    pub port: Option<u16>,
    /// Folders in memory (tmpfs), each with its mount options.
    pub tmpfs: Vec<(&'static str, &'static str)>,
    /// A shell command that succeeds once the container is healthy, instead of the image's own health check.
    pub healthcheck: Option<&'static str>,
    /// The interval of the health check, instead of the image's own. It also raises the start period to 10 minutes: on a
    /// busy machine a boot may outlast the image's.
    pub health_interval: Option<Duration>,
    /// The network to join and the container's name in it, instead of the engine's default network.
    pub network: Option<(String, String)>,
    /// The address of the name server, instead of the engine's choice; for the default network.
    pub name_server: Option<&'static str>,
    /// True to run as in production: read-only root file system, no capabilities, no new privileges.
    pub hardened: bool,
    /// `UID:GID` instead of the image's user.
    pub user: Option<String>,
    /// Files to upload before the start, by absolute path. Not possible with a read-only root file system.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The state of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Runs, and its health check has not passed yet.
    Starting,
    /// Its health check passes.
    Healthy,
    /// Its health check has used up its retries.
    Unhealthy,
    /// Ended with this exit code; -1 if the engine reports none.
    Exited(i64),
}

impl Engine {
    /// Creates a container that belongs to a session, and returns its id.
    pub async fn create(&self, session: &EngineSession, spec: ContainerSpec) -> anyhow::Result<String> {
        let (image, files) = (spec.image.clone(), spec.files.clone());
        let created = self.docker.create_container(None, body(session, spec)).await;
        let id = created.with_context(|| format!("failed to create a container of {image}"))?.id;
        if !files.is_empty() {
            self.upload(&id, &files).await.with_context(|| format!("failed to prepare a container of {image}"))?;
        }
        Ok(id)
    }

    /// Uploads files to a container, running or not. Not possible with a read-only root file system.
    pub async fn upload(&self, id: &str, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let archive = archive(files).context("failed to pack files")?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let uploaded = self.docker.upload_to_container(id, Some(options), bollard::body_full(archive.into())).await;
        uploaded.with_context(|| format!("failed to upload files to container {id}"))
    }

    /// Starts a container; it may have run before.
    pub async fn start(&self, id: &str) -> anyhow::Result<()> {
        self.docker.start_container(id, None).await.with_context(|| format!("failed to start container {id}"))
    }

    /// Removes a container and its anonymous volumes, running or not. A container that is already gone is not an error, nor
    /// is one that another client removes, such as the swarm.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let began = Instant::now();
        loop {
            match self.docker.remove_container(id, Some(options.clone())).await {
                Err(error) if is_in_progress(&error) && began.elapsed() < REMOVAL_DEADLINE => {
                    sleep(REMOVAL_PAUSE).await
                }
                Err(error) if !is_not_found(&error) => {
                    return Err(error).with_context(|| format!("failed to remove container {id}"));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Sends a signal to the first process of a container.
    pub async fn kill(&self, id: &str, signal: &str) -> anyhow::Result<()> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let killed = self.docker.kill_container(id, Some(options)).await;
        killed.with_context(|| format!("failed to send {signal} to container {id}"))
    }

    /// Stops a container as `docker stop` does, and returns the time that it took.
    pub async fn stop(&self, id: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.docker.stop_container(id, None).await.with_context(|| format!("failed to stop container {id}"))?;
        Ok(began.elapsed())
    }

    /// Freezes every process of a container.
    pub async fn pause(&self, id: &str) -> anyhow::Result<()> {
        self.docker.pause_container(id).await.with_context(|| format!("failed to pause container {id}"))
    }

    /// Resumes a container after [`Engine::pause`].
    pub async fn unpause(&self, id: &str) -> anyhow::Result<()> {
        self.docker.unpause_container(id).await.with_context(|| format!("failed to unpause container {id}"))
    }

    /// Runs a command in a running container, and returns its exit code and its output (stdout and stderr).
    pub async fn exec(&self, id: &str, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.exec_as(id, None, command).await
    }

    /// [`Engine::exec`] as a given user; `None` is the container's own.
    pub async fn exec_as(&self, id: &str, user: Option<&str>, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.exec_config(id, command, ExecConfig { user: user.map(str::to_owned), ..ExecConfig::default() }).await
    }

    /// [`Engine::exec`] with variables in addition to the container's.
    pub async fn exec_with(
        &self,
        id: &str,
        variables: &[(&str, &str)],
        command: &[&str],
    ) -> anyhow::Result<(i64, String)> {
        let env = Some(variables.iter().map(|(name, value)| format!("{name}={value}")).collect());
        self.exec_config(id, command, ExecConfig { env, ..ExecConfig::default() }).await
    }

    async fn exec_config(&self, id: &str, command: &[&str], config: ExecConfig) -> anyhow::Result<(i64, String)> {
        let config = ExecConfig {
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..config
        };
        let result = self.attached_exec(id, config).await;
        result.with_context(|| format!("failed to run {command:?} in container {id}"))
    }

    async fn attached_exec(&self, id: &str, config: ExecConfig) -> anyhow::Result<(i64, String)> {
        let exec = self.docker.create_exec(id, config).await?.id;
        let StartExecResults::Attached { output, .. } = self.docker.start_exec(&exec, None).await? else {
            bail!("no output is attached");
        };
        let output: Vec<String> = lines(output).try_collect().await?;
        let code = self.docker.inspect_exec(&exec).await?.exit_code;
        Ok((code.unwrap_or(-1), output.join("\n")))
    }

    /// Connects a container to one more network, under a name.
    pub async fn connect_network(&self, id: &str, network: &str, name: &str) -> anyhow::Result<()> {
        let request = NetworkConnectRequest {
            container: id.to_owned(),
            endpoint_config: Some(EndpointSettings {
                aliases: Some(vec![name.to_owned()]),
                ..EndpointSettings::default()
            }),
        };
        let connected = self.docker.connect_network(network, request).await;
        connected.with_context(|| format!("failed to connect container {id} to network {network}"))
    }

    /// Disconnects a container from a network.
    pub async fn disconnect_network(&self, id: &str, network: &str) -> anyhow::Result<()> {
        let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
        let disconnected = self.docker.disconnect_network(network, request).await;
        disconnected.with_context(|| format!("failed to disconnect container {id} from network {network}"))
    }

    /// Runs a container until it ends, removes it, and returns its exit code and its output (stdout and stderr).
    pub async fn run_to_end(&self, session: &EngineSession, spec: ContainerSpec) -> anyhow::Result<(i64, String)> {
        let id = self.create(session, spec).await?;
        self.start(&id).await?;
        // The stream ends with the container.
        let output: Vec<String> = self.log(&id).try_collect().await?;
        let ContainerState::Exited(code) = self.state(&id).await? else {
            bail!("container {id} closed its output but still runs")
        };
        self.remove(&id).await?;
        Ok((code, output.join("\n")))
    }

    /// Returns the state of a container.
    pub async fn state(&self, id: &str) -> anyhow::Result<ContainerState> {
        let container = self.docker.inspect_container(id, None).await;
        let state = container.with_context(|| format!("failed to inspect container {id}"))?.state.unwrap_or_default();
        if state.running != Some(true) {
            return Ok(ContainerState::Exited(state.exit_code.unwrap_or(-1)));
        }
        Ok(match state.health.and_then(|health| health.status) {
            Some(HealthStatusEnum::HEALTHY) => ContainerState::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => ContainerState::Unhealthy,
            _ => ContainerState::Starting,
        })
    }

    /// Returns the engine's description of a container (command, labels, health checks and their output) without its
    /// variables, as JSON.
    pub async fn description(&self, id: &str) -> anyhow::Result<String> {
        let container = self.docker.inspect_container(id, None).await;
        let mut container = container.with_context(|| format!("failed to inspect container {id}"))?;
        if let Some(config) = &mut container.config {
            config.env = None;
        }
        Ok(serde_json::to_string(&container)?)
    }

    /// Returns the name of a container's image.
    pub async fn image_of(&self, id: &str) -> anyhow::Result<String> {
        let container = self.docker.inspect_container(id, None).await;
        let config = container.with_context(|| format!("failed to inspect container {id}"))?.config;
        config.and_then(|config| config.image).with_context(|| format!("the engine names no image of container {id}"))
    }

    /// Returns the variables of a container and its image, by name. They contain secrets.
    pub async fn variables(&self, id: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let container = self.docker.inspect_container(id, None).await;
        let config = container.with_context(|| format!("failed to inspect container {id}"))?.config;
        let variables = config.and_then(|config| config.env).unwrap_or_default();
        let pairs = variables.iter().filter_map(|variable| variable.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns the command lines of a running container's processes, as every user of this machine sees them.
    pub async fn command_lines(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let processes = self.docker.top_processes(id, None::<TopOptions>).await;
        let processes = processes.with_context(|| format!("failed to list the processes of container {id}"))?;
        Ok(processes.processes.unwrap_or_default().into_iter().map(|columns| columns.join(" ")).collect())
    }

    /// Returns the port of this machine's loopback on which a container's port is published.
    pub async fn published_port(&self, id: &str, port: u16) -> anyhow::Result<u16> {
        let container = self.docker.inspect_container(id, None).await;
        let network = container.with_context(|| format!("failed to inspect container {id}"))?.network_settings;
        let bindings =
            network.and_then(|network| network.ports).and_then(|mut ports| ports.remove(&port_key(port))).flatten();
        let binding = bindings.and_then(|bindings| bindings.into_iter().next()).and_then(|binding| binding.host_port);
        binding
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("port {port} of container {id} is not published"))
    }

    /// Waits until a container is healthy.
    ///
    /// # Errors
    /// A container that has ended, is unhealthy, or is not healthy at the deadline; with the last lines of its log.
    pub async fn wait_healthy(&self, id: &str, deadline: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let problem = match self.state(id).await? {
                ContainerState::Healthy => return Ok(()),
                ContainerState::Exited(code) => format!("ended with {code}"),
                ContainerState::Unhealthy => "is unhealthy".to_owned(),
                ContainerState::Starting if began.elapsed() > deadline => {
                    format!("is not healthy after {} s", deadline.as_secs())
                }
                ContainerState::Starting => {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            bail!("container {id} {problem}; its last lines:\n{}", self.last_lines(id, 20).await?);
        }
    }

    /// Follows the lines of a container's log until the container ends.
    pub fn log(&self, id: &str) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        lines(self.docker.logs(id, Some(options)))
    }

    /// [`Engine::log`] with the engine's time (RFC 3339) and a space in front of each line.
    pub fn timed_log(&self, id: &str) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).timestamps(true).build();
        lines(self.docker.logs(id, Some(options)))
    }

    /// Returns the lines of [`Engine::timed_log`] so far.
    pub async fn timed_lines_so_far(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).build();
        lines(self.docker.logs(id, Some(options))).try_collect().await
    }

    /// Returns the time of a container's last start by the engine's clock, in RFC 3339.
    pub async fn started_at(&self, id: &str) -> anyhow::Result<String> {
        let container = self.docker.inspect_container(id, None).await;
        let state = container.with_context(|| format!("failed to inspect container {id}"))?.state.unwrap_or_default();
        state.started_at.with_context(|| format!("the engine has no start time for container {id}"))
    }

    /// Returns the lines of a container's log so far.
    pub async fn lines_so_far(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        lines(self.docker.logs(id, Some(options))).try_collect().await
    }

    /// Returns the last lines of a container's log.
    pub async fn last_lines(&self, id: &str, count: usize) -> anyhow::Result<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&count.to_string()).build();
        let lines: Vec<String> = lines(self.docker.logs(id, Some(options))).try_collect().await?;
        Ok(lines.join("\n"))
    }
}

fn body(session: &EngineSession, spec: ContainerSpec) -> ContainerCreateBody {
    let bindings = spec.port.map(|port| {
        // An empty port number stands for any free port.
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
        HashMap::from([(port_key(port), Some(vec![binding]))])
    });
    let networking = spec.network.as_ref().map(|(network, name)| {
        let endpoint = EndpointSettings { aliases: Some(vec![name.clone()]), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])) }
    });
    let health = (spec.healthcheck.is_some() || spec.health_interval.is_some()).then(|| HealthConfig {
        // Without a command here, the engine runs the image's.
        test: spec.healthcheck.map(|command| vec!["CMD-SHELL".to_owned(), command.to_owned()]),
        interval: nanoseconds(spec.health_interval.unwrap_or(Duration::from_millis(300))),
        timeout: spec.healthcheck.and_then(|_| nanoseconds(Duration::from_secs(5))),
        retries: spec.healthcheck.map(|_| 400),
        // Longer than the image's: on a busy machine a boot may take minutes, and callers have their own deadline.
        start_period: spec.health_interval.and_then(|_| nanoseconds(START_PERIOD)),
        ..HealthConfig::default()
    });
    ContainerCreateBody {
        networking_config: networking,
        image: Some(spec.image),
        entrypoint: spec.entrypoint,
        cmd: spec.command,
        user: spec.user,
        env: Some(spec.variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(session.labels()),
        exposed_ports: spec.port.map(|port| vec![port_key(port)]),
        healthcheck: health,
        host_config: Some(HostConfig {
            port_bindings: bindings,
            tmpfs: Some(spec.tmpfs.into_iter().map(|(path, options)| (path.to_owned(), options.to_owned())).collect()),
            dns: spec.name_server.map(|address| vec![address.to_owned()]),
            network_mode: spec.network.map(|(network, _)| network),
            readonly_rootfs: Some(spec.hardened),
            cap_drop: spec.hardened.then(|| vec!["ALL".to_owned()]),
            security_opt: spec.hardened.then(|| vec!["no-new-privileges:true".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Returns true if the engine answered that another client removes the container.
fn is_in_progress(error: &bollard::errors::Error) -> bool {
    use bollard::errors::Error::DockerResponseServerError;
    matches!(error, DockerResponseServerError { status_code: 409, message } if message.contains("already in progress"))
}

/// The unit of the engine's health check settings.
fn nanoseconds(duration: Duration) -> Option<i64> {
    i64::try_from(duration.as_nanos()).ok()
}

/// Packs files by absolute path into a tar archive. All users may read and execute them: a file may be a program.
fn archive(files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path.trim_start_matches('/'), content.as_slice())?;
    }
    archive.into_inner()
}

/// The engine's name of a TCP port.
fn port_key(port: u16) -> String {
    format!("{port}/tcp")
}

/// Joins the engine's pieces of any length into lines, for stdout and stderr separately.
pub(super) fn lines(
    pieces: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>,
) -> impl Stream<Item = anyhow::Result<String>> {
    let mut partial: [Vec<u8>; 2] = Default::default();
    let end = futures_util::stream::once(async { None });
    pieces.map(Some).chain(end).flat_map(move |piece| {
        futures_util::stream::iter(match complete(&mut partial, piece) {
            Ok(lines) => lines.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    })
}

/// Returns the lines that a piece completes; `None` is the end, which completes a last line without a line break.
fn complete(
    partial: &mut [Vec<u8>; 2],
    piece: Option<Result<LogOutput, bollard::errors::Error>>,
) -> anyhow::Result<Vec<String>> {
    let Some(piece) = piece else {
        let last = std::mem::take(partial).map(|line| text(&line));
        return Ok(last.into_iter().filter(|line| !line.is_empty()).collect());
    };
    let piece = piece.context("failed to read the container's log")?;
    let stream = usize::from(matches!(piece, LogOutput::StdErr { .. }));
    Ok(split(&mut partial[stream], &piece.into_bytes()))
}

/// Returns the complete lines, and keeps the bytes after the last line break for the next piece. A piece may end within a
/// character.
fn split(partial: &mut Vec<u8>, piece: &[u8]) -> Vec<String> {
    partial.extend_from_slice(piece);
    let rest = partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let complete = partial.drain(..rest).collect::<Vec<u8>>();
    complete.split_inclusive(|byte| *byte == b'\n').map(text).collect()
}

/// Returns the text of a line without its line break.
fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_are_joined_from_pieces_of_any_length() {
        let mut partial = Vec::new();
        assert_eq!(split(&mut partial, b"a\nb"), ["a"]);
        assert_eq!(split(&mut partial, b"c"), [""; 0]);
        assert_eq!(split(&mut partial, b"\r\n\nd"), ["bc", ""]);
        assert_eq!(partial, b"d");
    }

    #[test]
    fn a_character_may_be_in_two_pieces() {
        let mut partial = Vec::new();
        let text = "größer\n".as_bytes();
        assert_eq!(split(&mut partial, &text[..3]), [""; 0]);
        assert_eq!(split(&mut partial, &text[3..]), ["größer"]);
    }
}
