//! Images: what one is, what it is made of, and pulling one from a registry that may not answer.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use bollard::errors::Error;
use bollard::models::ImageHistoryResponseItem;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::{Engine, is_not_found};

/// What is known of a local image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// `sha256:…`.
    pub id: String,
    /// Bytes of all its layers.
    pub size: u64,
    /// Its manifest's digest, if it came from or went to a registry.
    pub digest: Option<String>,
    /// The user that its containers run as.
    pub user: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its variables, each as `NAME=value`.
    pub environment: Vec<String>,
    /// What its containers run before their command.
    pub entrypoint: Vec<String>,
    /// How its health is asked, the form (`CMD`, `CMD-SHELL`) first.
    pub health_command: Vec<String>,
    /// The digests of its layers, the first one first.
    pub layers: Vec<String>,
}

/// One layer, with the instruction that made it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// The instruction, as short as people would write it.
    pub instruction: String,
    /// Its bytes.
    pub size_bytes: u64,
}

/// How a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// The image is here now.
    Done,
    /// No registry answered.
    Unreachable(String),
    /// A registry answered, and said no: no such image, not allowed, too many requests.
    Refused(String),
}

impl Engine {
    /// The local image of that name, if there is one.
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
            size: u64::try_from(image.size.unwrap_or_default()).unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            health_command: config.healthcheck.and_then(|health| health.test).unwrap_or_default(),
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        }))
    }

    /// What made an image, the first instruction first; those that change metadata only have no bytes.
    pub async fn history(&self, image: &str) -> anyhow::Result<Vec<Layer>> {
        let history = self.docker.image_history(image).await;
        let history = history.with_context(|| format!("failed to read the history of {image}"))?;
        let entry = |entry: ImageHistoryResponseItem| Layer {
            instruction: shorten(&entry.created_by),
            size_bytes: u64::try_from(entry.size).unwrap_or_default(),
        };
        Ok(history.into_iter().rev().map(entry).collect())
    }

    /// Takes a name away from an image, and with its last name the image. One that is gone already is no error.
    pub async fn remove_image(&self, image: &str) -> anyhow::Result<()> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match self.docker.remove_image(image, Some(options), None).await {
            Err(error) if !is_not_found(&error) => {
                Err(error).with_context(|| format!("failed to remove image {image}"))
            }
            _ => Ok(()),
        }
    }

    /// Pulls an image, telling how far it is. A registry that is silent for `first_answer` counts as unreachable; once
    /// it has answered, the pull may take as long as it needs.
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
            let refusal = match item {
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
            return Ok(classify(refusal.0, refusal.1));
        }
    }
}

/// A registry's own "no" is told from a network that has no way to it by what the engine says: it has no codes for it.
fn classify(status: Option<u16>, message: String) -> Pull {
    let refusals =
        ["not found", "manifest unknown", "denied", "unauthorized", "toomanyrequests", "no matching manifest"];
    // A registry's name that does not resolve is `no such host` and "not found" to some resolvers.
    let is_network = message.contains("dial tcp") || message.contains("lookup ") || message.contains("Client.Timeout");
    if !is_network && (status == Some(404) || refusals.iter().any(|refusal| message.contains(refusal))) {
        Pull::Refused(message)
    } else {
        Pull::Unreachable(message)
    }
}

/// Takes away what the builder put round the instruction of the Dockerfile.
fn shorten(created_by: &str) -> String {
    let words = created_by.split_whitespace().filter(|word| !matches!(*word, "#" | "buildkit" | "#(nop)"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.strip_prefix("/bin/sh -c ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_builder_put_round_an_instruction_is_taken_away() {
        assert_eq!(shorten("COPY /uploads /directus/uploads # buildkit"), "COPY /uploads /directus/uploads");
        assert_eq!(shorten("/bin/sh -c #(nop)  CMD [\"start\"]"), "CMD [\"start\"]");
    }

    #[test]
    fn a_registry_that_says_no_is_told_from_one_that_cannot_be_reached() {
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
