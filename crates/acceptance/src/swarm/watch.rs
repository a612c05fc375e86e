//! The starts, signals and ends of containers, as the engine reports them while a check runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use testbed::engine::{ContainerEvent, Engine};
use tokio::task::JoinHandle;

/// Collects the events of all containers until it is dropped.
pub(crate) struct ContainerWatch {
    events: Arc<Mutex<Vec<ContainerEvent>>>,
    task: JoinHandle<()>,
}

impl ContainerWatch {
    /// Starts to collect.
    pub(crate) fn start(engine: &Engine) -> ContainerWatch {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (mut stream, collected) = (Box::pin(engine.container_events()), Arc::clone(&events));
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = stream.next().await {
                collected.lock().expect("not poisoned").push(event);
            }
        });
        ContainerWatch { events, task }
    }

    /// The events so far of the containers of a service, in their order.
    pub(crate) fn events(&self, service: &str) -> Vec<ContainerEvent> {
        let events = self.events.lock().expect("not poisoned");
        let is_of = |event: &&ContainerEvent| {
            event.attributes.get("com.docker.swarm.service.name").is_some_and(|name| name == service)
        };
        events.iter().filter(is_of).cloned().collect()
    }
}

impl Drop for ContainerWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The time since 1970, which is that of the engine's events.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
