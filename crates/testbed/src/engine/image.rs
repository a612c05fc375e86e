//! Images: their metadata, their layers, and pulling them from a registry that may not answer.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use bollard::errors::Error;
use bollard::models::ImageHistoryResponseItem;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::{Engine, is_not_found};

/// The metadata of a local image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// `sha256:…` of the configuration; with the containerd image store, of the manifest.
    pub id: String,
    /// A name with the manifest's digest, if the image was pulled or pushed; with the containerd image store, always.
    pub digest: Option<String>,
    /// The operating system and the processor: `linux/amd64`.
    pub platform: String,
    /// The user that its containers run as.
    pub user: String,
    /// The labels, by key.
    pub labels: HashMap<String, String>,
    /// The variables, each as `NAME=value`.
    pub environment: Vec<String>,
    /// The entrypoint of its containers, as argv.
    pub entrypoint: Vec<String>,
    /// The health check, with its form (`CMD`, `CMD-SHELL`) first.
    pub health_command: Vec<String>,
    /// The digests of the layers, from the lowest up.
    pub layers: Vec<String>,
}

/// One instruction of an image's history, with the layer that it created.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// The instruction as in a Dockerfile, on one line.
    pub instruction: String,
    /// Bytes of the layer's files, uncompressed; 0 if the instruction changes metadata only.
    pub size_bytes: u64,
}

/// The result of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// The image is available locally.
    Done,
    /// No registry answered; the engine's reason.
    Unreachable(String),
    /// The registry refused: no such image, not allowed, too many requests.
    Refused(String),
}

impl Engine {
    /// Returns the local image of that name, if it exists.
    pub async fn image(&self, name: &str) -> anyhow::Result<Option<ImageInfo>> {
        let image = match self.docker.inspect_image(name).await {
            Ok(image) => image,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("failed to inspect image {name}")),
        };
        let config = image.config.unwrap_or_default();
        Ok(Some(ImageInfo {
            id: image.id.unwrap_or_default(),
            digest: image.repo_digests.and_then(|digests| digests.into_iter().next()),
            platform: format!(
                "{}/{}",
                image.os.as_deref().unwrap_or("unknown"),
                image.architecture.as_deref().unwrap_or("unknown")
            ),
            user: config.user.unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            health_command: config.healthcheck.and_then(|health| health.test).unwrap_or_default(),
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        }))
    }

    /// Returns the instructions that created an image, in their order.
    pub async fn instructions(&self, image: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.api_history(image).await?.into_iter().map(|layer| layer.instruction).collect())
    }

    /// Returns the instructions that created an image, in their order, with the bytes that each added. An engine with the
    /// containerd image store must save the image for this: it reports the blocks that a layer has on its disk.
    pub async fn history(&self, image: &str) -> anyhow::Result<Vec<Layer>> {
        if self.has_containerd_store().await? { self.saved_history(image).await } else { self.api_history(image).await }
    }

    async fn api_history(&self, image: &str) -> anyhow::Result<Vec<Layer>> {
        let history = self.docker.image_history(image).await;
        let history = history.with_context(|| format!("failed to read the history of {image}"))?;
        Ok(history.iter().rev().map(Layer::from).collect())
    }

    async fn has_containerd_store(&self) -> anyhow::Result<bool> {
        let info = self.docker.info().await.context("failed to ask the engine for its image store")?;
        let status = info.driver_status.unwrap_or_default();
        Ok(status.contains(&["driver-type", "io.containerd.snapshotter.v1"].map(str::to_owned).to_vec()))
    }

    /// Removes a name of an image, and the image with its last name. An image that is already gone is not an error.
    pub async fn remove_image(&self, image: &str) -> anyhow::Result<()> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match self.docker.remove_image(image, Some(options), None).await {
            Err(error) if !is_not_found(&error) => {
                Err(error).with_context(|| format!("failed to remove image {image}"))
            }
            _ => Ok(()),
        }
    }

    /// Pulls an image and reports its progress. A registry that is silent for `first_answer` counts as unreachable;
    /// after its first answer there is no time limit.
    pub async fn pull(
        &self,
        image: &str,
        first_answer: Duration,
        mut on_progress: impl FnMut(&str),
    ) -> anyhow::Result<Pull> {
        let options = CreateImageOptionsBuilder::default().from_image(image).build();
        let mut stream = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        let mut answered = false;
        loop {
            let next = if answered {
                stream.next().await
            } else {
                match tokio::time::timeout(first_answer, stream.next()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(Pull::Unreachable(format!("no answer within {} s", first_answer.as_secs()))),
                }
            };
            let Some(item) = next else { return Ok(Pull::Done) };
            let (status, message) = match item {
                Ok(info) => match info.error_detail {
                    None => {
                        answered = true;
                        on_progress(info.status.as_deref().unwrap_or("pulling"));
                        continue;
                    }
                    Some(detail) => (None, detail.message.unwrap_or_default()),
                },
                Err(Error::DockerResponseServerError { status_code, message }) => (Some(status_code), message),
                Err(Error::DockerStreamError { error }) => (None, error),
                Err(error) => return Err(error).with_context(|| format!("failed to pull {image}")),
            };
            return Ok(classify(status, message));
        }
    }
}

impl From<&ImageHistoryResponseItem> for Layer {
    fn from(item: &ImageHistoryResponseItem) -> Layer {
        Layer { instruction: shorten(&item.created_by), size_bytes: u64::try_from(item.size).unwrap_or_default() }
    }
}

/// Distinguishes a registry's refusal from an unreachable one by the engine's message: the engine has no codes for this.
fn classify(status: Option<u16>, message: String) -> Pull {
    let refusals =
        ["not found", "manifest unknown", "denied", "unauthorized", "toomanyrequests", "no matching manifest"];
    // Some resolvers report an unknown host name as "not found".
    let is_network = message.contains("dial tcp") || message.contains("lookup ") || message.contains("Client.Timeout");
    if !is_network && (status == Some(404) || refusals.iter().any(|refusal| message.contains(refusal))) {
        Pull::Refused(message)
    } else {
        Pull::Unreachable(message)
    }
}

/// Strips the builder's additions from an instruction of the Dockerfile.
pub(super) fn shorten(created_by: &str) -> String {
    let words = created_by.split_whitespace().filter(|word| !matches!(*word, "#" | "buildkit" | "#(nop)"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.strip_prefix("/bin/sh -c ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_of_the_builder_are_stripped_from_an_instruction() {
        assert_eq!(shorten("COPY /uploads /directus/uploads # buildkit"), "COPY /uploads /directus/uploads");
        assert_eq!(shorten("/bin/sh -c #(nop)  CMD [\"start\"]"), "CMD [\"start\"]");
    }

    #[test]
    fn a_refusal_of_a_registry_is_distinguished_from_an_unreachable_one() {
        let refused = ["manifest for a/b:1 not found: manifest unknown", "pull access denied for a/b"];
        for message in refused {
            assert!(matches!(classify(None, message.to_owned()), Pull::Refused(_)), "{message}");
        }
        let unreachable = [
            "dial tcp: lookup registry on 10.0.0.1:53: no such host",
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
            "received unexpected HTTP status: 503 Service Unavailable",
        ];
        for message in unreachable {
            assert!(matches!(classify(Some(500), message.to_owned()), Pull::Unreachable(_)), "{message}");
        }
    }
}
