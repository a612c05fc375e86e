//! Containers: making, starting, watching and removing one.

use std::collections::HashMap;
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

use super::{Engine, is_not_found};
use crate::run::Run;

/// How long a container that is checked often may take until its first success.
const START_PERIOD: Duration = Duration::from_secs(600);

/// What a container is to be made of.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// The image.
    pub image: String,
    /// What is run before the command, instead of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// The command, instead of the image's own.
    pub command: Option<Vec<String>>,
    /// Variables.
    pub variables: Vec<(String, String)>,
    /// A TCP port that is published on a free port of this machine's loopback.
    pub port: Option<u16>,
    /// Folders in memory, with their mount options.
    pub tmpfs: Vec<(&'static str, &'static str)>,
    /// A shell command that succeeds when the container is healthy, instead of the image's own check.
    pub healthcheck: Option<&'static str>,
    /// How often the check is made, instead of the image's own interval; and it never gives up on a container that has
    /// not been healthy yet: on a busy machine a boot may outlast the image's start period.
    pub check_every: Option<Duration>,
    /// The network that it is in, and its name there, instead of the engine's default network.
    pub network: Option<(String, String)>,
    /// Whether it runs as in production: read-only root file system, no capabilities, no new privileges.
    pub hardened: bool,
    /// Files that are put into it before it starts. Not possible with a read-only root file system.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What a container does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, and its health check has not passed yet.
    Starting,
    /// Its health check passes.
    Healthy,
    /// Its health check has failed too often.
    Unhealthy,
    /// It ended.
    Exited(i64),
}

impl Engine {
    /// Makes a container that belongs to a run, and returns its id.
    pub async fn create(&self, run: &Run, spec: ContainerSpec) -> anyhow::Result<String> {
        let (image, files) = (spec.image.clone(), spec.files.clone());
        let created = self.docker.create_container(None, body(run, spec)).await;
        let id = created.with_context(|| format!("failed to create a container of {image}"))?.id;
        if !files.is_empty() {
            self.upload(&id, &files).await.with_context(|| format!("a container of {image} is not as it should be"))?;
        }
        Ok(id)
    }

    /// Puts files into a container, running or not. Not possible with a read-only root file system.
    pub async fn upload(&self, id: &str, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let archive = archive(files).context("failed to pack files")?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let uploaded = self.docker.upload_to_container(id, Some(options), bollard::body_full(archive.into())).await;
        uploaded.with_context(|| format!("failed to put files into container {id}"))
    }

    /// Starts a container.
    pub async fn start(&self, id: &str) -> anyhow::Result<()> {
        self.docker.start_container(id, None).await.with_context(|| format!("failed to start container {id}"))
    }

    /// Removes a container and its anonymous volumes, running or not. One that is gone already is no error.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Err(error) if !is_not_found(&error) => {
                Err(error).with_context(|| format!("failed to remove container {id}"))
            }
            _ => Ok(()),
        }
    }

    /// Sends a signal to a container's first process.
    pub async fn kill(&self, id: &str, signal: &str) -> anyhow::Result<()> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let killed = self.docker.kill_container(id, Some(options)).await;
        killed.with_context(|| format!("failed to send {signal} to container {id}"))
    }

    /// Asks a container to stop, as `docker stop` does, and returns how long that took.
    pub async fn stop(&self, id: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.docker.stop_container(id, None).await.with_context(|| format!("failed to stop container {id}"))?;
        Ok(began.elapsed())
    }

    /// Freezes every process of a container.
    pub async fn pause(&self, id: &str) -> anyhow::Result<()> {
        self.docker.pause_container(id).await.with_context(|| format!("failed to pause container {id}"))
    }

    /// Lets a frozen container go on.
    pub async fn unpause(&self, id: &str) -> anyhow::Result<()> {
        self.docker.unpause_container(id).await.with_context(|| format!("failed to unpause container {id}"))
    }

    /// Runs a command in a running container, and returns its exit code and what it wrote.
    pub async fn exec(&self, id: &str, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.exec_as(id, None, command).await
    }

    /// The same as another user than the container's.
    pub async fn exec_as(&self, id: &str, user: Option<&str>, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.exec_config(id, command, ExecConfig { user: user.map(str::to_owned), ..ExecConfig::default() }).await
    }

    /// The same with more variables than the container's.
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
        let context = || format!("failed to run {command:?} in container {id}");
        let options = ExecConfig {
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..config
        };
        let exec = self.docker.create_exec(id, options).await.with_context(context)?.id;
        let StartExecResults::Attached { output, .. } =
            self.docker.start_exec(&exec, None).await.with_context(context)?
        else {
            bail!("{}: no output is attached", context());
        };
        let output: Vec<String> = lines(output).try_collect().await?;
        let code = self.docker.inspect_exec(&exec).await.with_context(context)?.exit_code;
        Ok((code.unwrap_or(-1), output.join("\n")))
    }

    /// Puts a container into another network too, under a name.
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

    /// Takes a container out of a network.
    pub async fn disconnect_network(&self, id: &str, network: &str) -> anyhow::Result<()> {
        let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
        let disconnected = self.docker.disconnect_network(network, request).await;
        disconnected.with_context(|| format!("failed to disconnect container {id} from network {network}"))
    }

    /// Runs a container until it ends, and returns its exit code and what it wrote.
    pub async fn run_to_end(&self, run: &Run, spec: ContainerSpec) -> anyhow::Result<(i64, String)> {
        let id = self.create(run, spec).await?;
        self.start(&id).await?;
        // Ends when the container does.
        let output: Vec<String> = self.log(&id).try_collect().await?;
        let State::Exited(code) = self.state(&id).await? else { bail!("container {id} closed its output and runs on") };
        self.remove(&id).await?;
        Ok((code, output.join("\n")))
    }

    /// What a container does.
    pub async fn state(&self, id: &str) -> anyhow::Result<State> {
        let container = self.docker.inspect_container(id, None).await;
        let state = container.with_context(|| format!("failed to inspect container {id}"))?.state.unwrap_or_default();
        if state.running != Some(true) {
            return Ok(State::Exited(state.exit_code.unwrap_or(-1)));
        }
        Ok(match state.health.and_then(|health| health.status) {
            Some(HealthStatusEnum::HEALTHY) => State::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => State::Unhealthy,
            _ => State::Starting,
        })
    }

    /// Everything that the engine tells about a container (its command, labels, health checks and what they wrote) but
    /// for its variables, as text.
    pub async fn told(&self, id: &str) -> anyhow::Result<String> {
        let container = self.docker.inspect_container(id, None).await;
        let mut container = container.with_context(|| format!("failed to inspect container {id}"))?;
        if let Some(config) = &mut container.config {
            config.env = None;
        }
        Ok(serde_json::to_string(&container)?)
    }

    /// The command lines of a running container's processes, as everybody on this machine can see them.
    pub async fn command_lines(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let processes = self.docker.top_processes(id, None::<TopOptions>).await;
        let processes = processes.with_context(|| format!("failed to list the processes of container {id}"))?;
        Ok(processes.processes.unwrap_or_default().into_iter().map(|columns| columns.join(" ")).collect())
    }

    /// The port of this machine's loopback that a container's port is published on.
    pub async fn published_port(&self, id: &str, port: u16) -> anyhow::Result<u16> {
        let container = self.docker.inspect_container(id, None).await;
        let network = container.with_context(|| format!("failed to inspect container {id}"))?.network_settings;
        let bindings =
            network.and_then(|network| network.ports).and_then(|mut ports| ports.remove(&key(port))).flatten();
        let binding = bindings.and_then(|bindings| bindings.into_iter().next()).and_then(|binding| binding.host_port);
        binding
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("port {port} of container {id} is not published"))
    }

    /// Waits until a container is healthy; one that cannot become so any more is an error with its last lines.
    pub async fn wait_healthy(&self, id: &str, deadline: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let problem = match self.state(id).await? {
                State::Healthy => return Ok(()),
                State::Exited(code) => format!("ended with {code}"),
                State::Unhealthy => "is unhealthy".to_owned(),
                State::Starting if began.elapsed() > deadline => {
                    format!("is not healthy after {} s", deadline.as_secs())
                }
                State::Starting => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            bail!("container {id} {problem}; its last lines:\n{}", self.last_lines(id, 20).await?);
        }
    }

    /// Every line of a container's log, as it comes, until the container ends.
    pub fn log(&self, id: &str) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        lines(self.docker.logs(id, Some(options)))
    }

    /// Every line of a container's log, as it comes, until the container ends; each with the engine's own time before
    /// it, in RFC 3339, and a blank.
    pub fn timed_log(&self, id: &str) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).timestamps(true).build();
        lines(self.docker.logs(id, Some(options)))
    }

    /// When a container was last started, by the engine's own clock, in RFC 3339.
    pub async fn started_at(&self, id: &str) -> anyhow::Result<String> {
        let container = self.docker.inspect_container(id, None).await;
        let state = container.with_context(|| format!("failed to inspect container {id}"))?.state.unwrap_or_default();
        state.started_at.with_context(|| format!("the engine does not say when container {id} was started"))
    }

    /// Every line that a container has said so far.
    pub async fn lines_so_far(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        lines(self.docker.logs(id, Some(options))).try_collect().await
    }

    /// The last lines of a container's log.
    pub async fn last_lines(&self, id: &str, count: usize) -> anyhow::Result<String> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&count.to_string()).build();
        let lines: Vec<String> = lines(self.docker.logs(id, Some(options))).try_collect().await?;
        Ok(lines.join("\n"))
    }
}

fn body(run: &Run, spec: ContainerSpec) -> ContainerCreateBody {
    let bindings = spec.port.map(|port| {
        // An empty port number means any free one.
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
        HashMap::from([(key(port), Some(vec![binding]))])
    });
    let own = |(path, options): (&str, &str)| (path.to_owned(), options.to_owned());
    let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).ok();
    let networking = spec.network.as_ref().map(|(network, name)| {
        let endpoint = EndpointSettings { aliases: Some(vec![name.clone()]), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])) }
    });
    let health = (spec.healthcheck.is_some() || spec.check_every.is_some()).then(|| HealthConfig {
        // Without a test of its own the engine takes the image's.
        test: spec.healthcheck.map(|command| vec!["CMD-SHELL".to_owned(), command.to_owned()]),
        interval: nanoseconds(spec.check_every.unwrap_or(Duration::from_millis(300))),
        timeout: spec.healthcheck.and_then(|_| nanoseconds(Duration::from_secs(5))),
        retries: spec.healthcheck.map(|_| 400),
        // Longer than the image's own: on a busy machine a boot may take minutes, and whoever waits has a deadline.
        start_period: spec.check_every.and_then(|_| nanoseconds(START_PERIOD)),
        ..HealthConfig::default()
    });
    let hardened = spec.hardened;
    ContainerCreateBody {
        networking_config: networking,
        image: Some(spec.image),
        entrypoint: spec.entrypoint,
        cmd: spec.command,
        env: Some(spec.variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(run.labels()),
        exposed_ports: spec.port.map(|port| vec![key(port)]),
        healthcheck: health,
        host_config: Some(HostConfig {
            port_bindings: bindings,
            tmpfs: Some(spec.tmpfs.into_iter().map(own).collect()),
            network_mode: spec.network.map(|(network, _)| network),
            readonly_rootfs: Some(hardened),
            cap_drop: hardened.then(|| vec!["ALL".to_owned()]),
            security_opt: hardened.then(|| vec!["no-new-privileges:true".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// A tar archive of files by their absolute paths, readable by everybody, and runnable: a file may be a program.
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

/// How the engine names a TCP port.
fn key(port: u16) -> String {
    format!("{port}/tcp")
}

/// The engine sends pieces of any length, from two streams: lines are put together for each.
fn lines(
    pieces: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>,
) -> impl Stream<Item = anyhow::Result<String>> {
    let mut partial: [String; 2] = Default::default();
    let complete = move |piece: Option<Result<LogOutput, bollard::errors::Error>>| {
        let Some(piece) = piece else {
            // The end: what has no line break is a line, too.
            return Ok(std::mem::take(&mut partial).into_iter().filter(|line| !line.is_empty()).collect());
        };
        let piece = piece.context("failed to read the container's log")?;
        let stream = usize::from(matches!(piece, LogOutput::StdErr { .. }));
        Ok(split(&mut partial[stream], &String::from_utf8_lossy(&piece.into_bytes())))
    };
    let end = futures_util::stream::once(async { None });
    pieces.map(Some).chain(end).map(complete).flat_map(|lines: anyhow::Result<Vec<String>>| {
        futures_util::stream::iter(match lines {
            Ok(lines) => lines.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    })
}

/// The lines that a piece completes; what comes after its last line break waits for the next.
fn split(partial: &mut String, piece: &str) -> Vec<String> {
    partial.push_str(piece);
    let mut lines: Vec<String> = partial.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect();
    *partial = lines.pop().unwrap_or_default();
    lines
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_are_put_together_from_pieces_of_any_length() {
        let mut partial = String::new();
        assert_eq!(split(&mut partial, "a\nb"), ["a"]);
        assert_eq!(split(&mut partial, "c"), [""; 0]);
        assert_eq!(split(&mut partial, "\r\n\nd"), ["bc", ""]);
        assert_eq!(partial, "d");
    }
}
