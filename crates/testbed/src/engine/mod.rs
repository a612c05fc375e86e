//! The container engine: the only module that calls its API. Compose and buildx are separate command lines and run
//! through [`crate::cmd`].

mod bridge;
mod container;
mod context;
mod files;
mod image;
mod layers;
mod one_off;
mod own_swarm;
mod swarm;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveVolumeOptions,
};

use self::bridge::EngineBridge;
pub use container::{ContainerSpec, ContainerState};
pub use files::{FileContent, FileEntry, FileKind};
pub use image::{ImageInfo, Layer, Pull};
pub use layers::LayerFile;
pub use own_swarm::ContainerEvent;
pub use swarm::{PreviousService, STACK_LABEL, SwarmRole, SwarmService, SwarmTask, TaskState, UpdateState};

use crate::cmd::Cmd;

/// Time for the engine's first answer; one over SSH needs seconds.
const ANSWER: Duration = Duration::from_secs(5);
const ANSWER_ELSEWHERE: Duration = Duration::from_secs(30);
/// Seconds for the answer to one request; bollard's default.
const ANSWER_SECONDS: u64 = 120;

/// A connection to the engine.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    /// Carries the requests to an engine elsewhere.
    _bridge: Option<Arc<EngineBridge>>,
}

impl Engine {
    /// Connects to the engine that the docker command uses: by `DOCKER_HOST`, by its context, or the local one.
    pub async fn connect() -> anyhow::Result<Engine> {
        Engine::connect_to(context::socket().await?, None).await
    }

    /// Connects like [`Engine::connect`], and also to an engine elsewhere, over SSH or TCP. Everything that uses the
    /// loopback or the files of the engine's machine needs a local one.
    pub async fn connect_anywhere() -> anyhow::Result<Engine> {
        if !context::is_remote().await? {
            return Engine::connect().await;
        }
        let bridge = EngineBridge::open()?;
        let connected = Engine::connect_to(Some(bridge.socket()?), Some(Arc::new(bridge))).await;
        if connected.is_err() {
            // Only the docker command knows the reason: a name, a key, a certificate.
            Cmd::new("docker").args(["version", "--format", "{{.Server.Version}}"]).read().await?;
        }
        connected
    }

    async fn connect_to(socket: Option<String>, bridge: Option<Arc<EngineBridge>>) -> anyhow::Result<Engine> {
        let connect = async {
            let docker = match &socket {
                Some(socket) => Docker::connect_with_socket(socket, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION)?,
                None => Docker::connect_with_defaults()?,
            };
            // Bollard starts with the newest version of the API, which an older engine refuses.
            docker.negotiate_version().await
        };
        let patience = if bridge.is_some() { ANSWER_ELSEWHERE } else { ANSWER };
        let docker = tokio::time::timeout(patience, connect)
            .await
            .with_context(|| format!("no answer within {} s", patience.as_secs()))
            .and_then(|result| result.map_err(anyhow::Error::from))
            .context("no container engine answers; `cargo xtask doctor` names the way to one")?;
        Ok(Engine { docker, _bridge: bridge })
    }

    /// Describes the engine that `DOCKER_HOST` or a context names; `None` for the default one.
    #[must_use]
    pub fn named() -> Option<String> {
        context::named()
    }

    /// Returns the engine's version.
    pub async fn version(&self) -> anyhow::Result<String> {
        let version = self.docker.version().await.context("failed to ask the engine for its version")?;
        Ok(version.version.unwrap_or_default())
    }

    /// Returns the bytes of memory that the engine's containers share.
    pub async fn memory(&self) -> anyhow::Result<u64> {
        let info = self.docker.info().await.context("failed to ask the engine for its memory")?;
        Ok(info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default())
    }

    /// Returns the ports of this machine that running containers publish.
    pub async fn published_ports(&self) -> anyhow::Result<BTreeSet<u16>> {
        Ok(self.publishers().await?.into_keys().collect())
    }

    /// Returns the names of the running containers that publish ports of this machine, by port.
    pub async fn publishers(&self) -> anyhow::Result<BTreeMap<u16, String>> {
        let containers = self.docker.list_containers(None).await.context("failed to list containers")?;
        let mut publishers = BTreeMap::new();
        for container in containers {
            let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            for port in container.ports.into_iter().flatten().filter_map(|port| port.public_port) {
                publishers.insert(port, name.trim_start_matches('/').to_owned());
            }
        }
        Ok(publishers)
    }

    /// Returns the folder of the engine's data, on the engine's machine.
    pub async fn data_folder(&self) -> anyhow::Result<Option<String>> {
        let info = self.docker.info().await.context("failed to ask the engine for its folder")?;
        Ok(info.docker_root_dir)
    }

    /// Returns the number of images that no name refers to and that have a label. A build takes the name from the image
    /// that it replaces.
    pub async fn unnamed_images(&self, label: &str) -> anyhow::Result<usize> {
        let filters = HashMap::from([("label", vec![label]), ("dangling", vec!["true"])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        Ok(self.docker.list_images(Some(options)).await.context("failed to list images")?.len())
    }

    /// Returns the containers, running or not, that have a label (`key` or `key=value`), by id.
    pub async fn containers_with(&self, label: &str) -> anyhow::Result<Vec<Labelled>> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&label_filter(label)).build();
        let containers = self.docker.list_containers(Some(options)).await.context("failed to list containers")?;
        let labelled = containers.into_iter().filter_map(|container| {
            Some(Labelled { id: container.id?, value: value_of(label, container.labels.as_ref()) })
        });
        Ok(labelled.collect())
    }

    /// Returns the volumes that have a label, by name.
    pub async fn volumes_with(&self, label: &str) -> anyhow::Result<Vec<Labelled>> {
        let options = ListVolumesOptionsBuilder::default().filters(&label_filter(label)).build();
        let answer = self.docker.list_volumes(Some(options)).await.context("failed to list volumes")?;
        let volumes = answer.volumes.unwrap_or_default().into_iter();
        Ok(volumes.map(|v| Labelled { value: value_of(label, Some(&v.labels)), id: v.name }).collect())
    }

    /// Returns the networks that have a label, by id.
    pub async fn networks_with(&self, label: &str) -> anyhow::Result<Vec<Labelled>> {
        let options = ListNetworksOptionsBuilder::default().filters(&label_filter(label)).build();
        let networks = self.docker.list_networks(Some(options)).await.context("failed to list networks")?;
        let labelled = networks
            .into_iter()
            .filter_map(|network| Some(Labelled { id: network.id?, value: value_of(label, network.labels.as_ref()) }));
        Ok(labelled.collect())
    }

    /// Returns the images that have a label, by id.
    pub async fn images_with(&self, label: &str) -> anyhow::Result<Vec<Labelled>> {
        let options = ListImagesOptionsBuilder::default().filters(&label_filter(label)).build();
        let images = self.docker.list_images(Some(options)).await.context("failed to list images")?;
        Ok(images.into_iter().map(|i| Labelled { value: value_of(label, Some(&i.labels)), id: i.id }).collect())
    }

    /// Creates a network with labels, and returns its id.
    pub async fn create_network(&self, name: &str, labels: HashMap<String, String>) -> anyhow::Result<String> {
        let request =
            NetworkCreateRequest { name: name.to_owned(), labels: Some(labels), ..NetworkCreateRequest::default() };
        let created = self.docker.create_network(request).await;
        Ok(created.with_context(|| format!("failed to create network {name}"))?.id)
    }

    /// Returns this machine's address in a network, where containers reach a listener on this machine. If the engine runs
    /// in a virtual machine, its networks do not include this machine, and listening on the address fails.
    pub async fn gateway(&self, network: &str) -> anyhow::Result<IpAddr> {
        let found = self.docker.inspect_network(network, None).await;
        let found = found.with_context(|| format!("failed to inspect network {network}"))?;
        let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let gateway = configs.into_iter().find_map(|config| config.gateway?.parse().ok());
        gateway.with_context(|| format!("network {network} has no gateway"))
    }

    /// Removes a volume; one that is already gone is not an error.
    pub async fn remove_volume(&self, name: &str) -> anyhow::Result<()> {
        let options = RemoveVolumeOptions { force: true };
        self.docker.remove_volume(name, Some(options)).await.with_context(|| format!("failed to remove volume {name}"))
    }

    /// Removes a network that no container uses.
    pub async fn remove_network(&self, id: &str) -> anyhow::Result<()> {
        self.docker.remove_network(id).await.with_context(|| format!("failed to remove network {id}"))
    }
}

/// A container, volume, network or image that was found by a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The id; of a volume, the name.
    pub id: String,
    /// The label's value.
    pub value: String,
}

fn label_filter(label: &str) -> HashMap<&str, Vec<&str>> {
    HashMap::from([("label", vec![label])])
}

fn value_of(label: &str, labels: Option<&HashMap<String, String>>) -> String {
    let key = label.split_once('=').map_or(label, |(key, _)| key);
    labels.and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
}

/// Returns true if the engine answered that the object does not exist.
fn is_not_found(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}
