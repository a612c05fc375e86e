//! A run: everything that a command makes in the engine, and its removal whatever happens.
//!
//! Containers of a run carry its id as a label; a compose stack of a run has the id as its project name. The id says
//! which process made it, so that the next run can tell what a killed one has left behind, and remove that too.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;

use crate::engine::Engine;
use crate::ui;

const LABEL: &str = "trm.run";
const COMPOSE_LABEL: &str = "com.docker.compose.project";
const PREFIX: &str = "trm-run-";

/// Removes what belongs to it when it is dropped: at the end, on an error, on Ctrl-C, in a panic.
#[derive(Debug)]
#[must_use = "a run that is dropped removes what it made"]
pub struct Run {
    engine: Engine,
    id: String,
    kept: Cell<bool>,
}

impl Run {
    /// Begins a run, and removes what runs of dead processes have left.
    pub async fn start(engine: &Engine, kind: &str) -> anyhow::Result<Run> {
        let host = host_name();
        for id in found_ids(engine).await? {
            if is_leftover(&id, &host, is_alive) {
                ui::status("Removing", &format!("what {id} left behind"));
                remove(engine, &id).await.with_context(|| format!("failed to remove what {id} left behind"))?;
            }
        }
        Ok(Run {
            engine: engine.clone(),
            id: format!("{PREFIX}{kind}-{host}-{}", std::process::id()),
            kept: Cell::new(false),
        })
    }

    /// Leaves what it made when it is dropped, for somebody to look at. The next run removes it.
    pub fn keep(&self) {
        self.kept.set(true);
    }

    /// Its id, which is a valid name of a compose project.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The labels of what it makes.
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(LABEL.to_owned(), self.id.clone())])
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.kept.get() {
            return;
        }
        let (engine, id) = (self.engine.clone(), self.id.clone());
        // A drop cannot wait for the runtime that it may run on, so it brings its own.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove(&engine, &id))
        });
        match removal.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ui::warning(&format!("{} is not removed: {error:#}", self.id)),
            Err(_) => ui::warning(&format!("{} is not removed: the removal panicked", self.id)),
        }
    }
}

/// Removes everything of a run: containers first, they hold the rest.
async fn remove(engine: &Engine, id: &str) -> anyhow::Result<()> {
    let labels = [format!("{LABEL}={id}"), format!("{COMPOSE_LABEL}={id}")];
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

/// The ids of all runs that have anything in the engine.
async fn found_ids(engine: &Engine) -> anyhow::Result<BTreeSet<String>> {
    let mut found = Vec::new();
    for label in [LABEL, COMPOSE_LABEL] {
        found.extend(engine.containers_with(label).await?);
        found.extend(engine.volumes_with(label).await?);
        found.extend(engine.networks_with(label).await?);
    }
    found.extend(engine.images_with(LABEL).await?);
    Ok(found.into_iter().map(|labelled| labelled.value).filter(|id| id.starts_with(PREFIX)).collect())
}

/// Whether a run's process is dead. Of processes on other machines that share the engine nothing is known.
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

/// Nothing is removed where nothing can be known.
#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}

/// This machine's name, in the letters that a compose project may have.
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
    fn what_a_dead_process_of_this_machine_made_is_a_leftover() {
        assert!(is_leftover("trm-run-test-mine-42", "mine", |_| false));
    }

    #[test]
    fn what_lives_is_elsewhere_or_is_none_of_ours_is_not() {
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
