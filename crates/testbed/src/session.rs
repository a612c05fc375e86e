//! A session in the engine: everything that a command creates there, and its removal in all cases.
//!
//! Containers of a session have its id as a label; a compose stack of a session has the id as its project name. The id
//! contains the host and process id, so that the next session finds and removes the leftovers of a killed one.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;

use crate::engine::Engine;
use crate::ui;

const COMPOSE_LABEL: &str = "com.docker.compose.project";
const PREFIX: &str = "trm-run-";

/// Removes everything that belongs to it when it is dropped: at the end, on an error, on Ctrl-C, in a panic.
#[derive(Debug)]
#[must_use = "a session that is dropped removes its containers"]
pub struct EngineSession {
    engine: Engine,
    id: String,
    kept: Cell<bool>,
}

impl EngineSession {
    /// The label with the id of the session.
    pub const LABEL: &str = "trm.run";

    /// Begins a session, and removes the leftovers of dead processes.
    pub async fn start(engine: &Engine, kind: &str) -> anyhow::Result<EngineSession> {
        for id in leftovers(engine).await? {
            ui::status("Removing", &format!("leftovers of {id}"));
            remove(engine, &id).await.with_context(|| format!("failed to remove the leftovers of {id}"))?;
        }
        Ok(EngineSession {
            engine: engine.clone(),
            id: format!("{PREFIX}{kind}-{}-{}", host_name(), std::process::id()),
            kept: Cell::new(false),
        })
    }

    /// Keeps everything on drop, for inspection. The next session removes it.
    pub fn keep(&self) {
        self.kept.set(true);
    }

    /// The id, which is a valid name of a compose project.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The labels of everything that the session creates.
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(Self::LABEL.to_owned(), self.id.clone())])
    }
}

impl Drop for EngineSession {
    fn drop(&mut self) {
        if self.kept.get() {
            return;
        }
        let (engine, id) = (self.engine.clone(), self.id.clone());
        // Drop cannot block on the runtime that it may run on, so the removal gets its own.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove(&engine, &id))
        });
        match removal.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ui::warning(&format!("failed to remove {}: {error:#}", self.id)),
            Err(_) => ui::warning(&format!("failed to remove {}: the removal panicked", self.id)),
        }
    }
}

/// Removes everything of a session, containers first: they use the rest.
async fn remove(engine: &Engine, id: &str) -> anyhow::Result<()> {
    let labels = [format!("{}={id}", EngineSession::LABEL), format!("{COMPOSE_LABEL}={id}")];
    for label in &labels {
        for container in engine.containers_with(label).await? {
            engine.remove(&container.id).await?;
        }
    }
    for label in &labels {
        for volume in engine.volumes_with(label).await? {
            engine.remove_volume(&volume.id).await?;
        }
        for network in engine.networks_with(label).await? {
            engine.remove_network(&network.id).await?;
        }
    }
    for image in engine.images_with(&labels[0]).await? {
        engine.remove_image(&image.id).await?;
    }
    Ok(())
}

/// Returns the ids of the sessions of dead processes of this machine that have anything in the engine. The next session
/// removes it.
pub async fn leftovers(engine: &Engine) -> anyhow::Result<Vec<String>> {
    let host = host_name();
    Ok(found_ids(engine).await?.into_iter().filter(|id| is_leftover(id, &host, is_alive)).collect())
}

/// Returns the ids of all sessions that have anything in the engine.
async fn found_ids(engine: &Engine) -> anyhow::Result<BTreeSet<String>> {
    let mut found = Vec::new();
    for label in [EngineSession::LABEL, COMPOSE_LABEL] {
        found.extend(engine.containers_with(label).await?);
        found.extend(engine.volumes_with(label).await?);
        found.extend(engine.networks_with(label).await?);
    }
    found.extend(engine.images_with(EngineSession::LABEL).await?);
    Ok(found.into_iter().map(|labelled| labelled.value).filter(|id| id.starts_with(PREFIX)).collect())
}

/// Returns true if the session's process on this machine is dead. Processes of other machines that share the engine cannot
/// be checked.
fn is_leftover(id: &str, host: &str, is_alive: impl Fn(u32) -> bool) -> bool {
    let Some((rest, pid)) = id.rsplit_once('-') else { return false };
    let Ok(pid) = pid.parse() else { return false };
    rest.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).is_some_and(|(_, of)| of == host) && !is_alive(pid)
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Nothing is removed where processes cannot be checked.
#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}

/// Returns this machine's name in characters that are valid in the name of a compose project.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::{host_name, is_alive, is_leftover};

    #[test]
    fn containers_of_a_dead_process_of_this_machine_are_leftovers() {
        assert!(is_leftover("trm-run-test-mine-42", "mine", |_| false));
    }

    #[test]
    fn containers_of_live_processes_of_other_machines_and_of_other_projects_are_not() {
        assert!(!is_leftover("trm-run-test-mine-42", "mine", |pid| pid == 42));
        assert!(!is_leftover("trm-run-test-theirs-42", "mine", |_| false));
        assert!(!is_leftover("trm-directus", "mine", |_| false));
        assert!(!is_leftover("trm-run-test-mine-x", "mine", |_| false));
    }

    #[test]
    fn this_process_is_alive_and_this_machine_has_a_name() {
        assert!(is_alive(std::process::id()));
        assert!(!host_name().is_empty());
    }
}
