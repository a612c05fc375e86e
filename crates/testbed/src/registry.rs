//! A registry on this machine's loopback, with the base images under their publishers' names.
//!
//! An engine that has it as the mirror of Docker Hub pulls those names from it: `setup` and `docker build` then take the
//! same way as where Docker Hub answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::base_images::{BaseImage, Resolved};
use crate::cmd::Cmd;
use crate::engine::Engine;
use crate::{http, ui};

/// The container's name, and that of the volume with its data.
const NAME: &str = "trm-registry";
/// The label by which an earlier container is found.
const LABEL: &str = "trm.registry";
/// Time until a started registry answers.
const DEADLINE: Duration = Duration::from_secs(30);
/// The forms of a manifest that engines push.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A manifest of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryManifest {
    /// Its digest, by which an image is pulled: `sha256:…`.
    pub digest: String,
    /// The parsed JSON: of an image its configuration and layers, of a list its images.
    pub content: Value,
}

impl RegistryManifest {
    /// Returns true for the manifest of the local image with this id: the digest of the configuration, and of the manifest
    /// in containerd's image store.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.digest == id || self.content["config"]["digest"].as_str() == Some(id)
    }
}

/// A registry on loopback, by its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registry {
    port: u16,
}

/// The registry of `setup --registry`.
impl Default for Registry {
    fn default() -> Registry {
        Registry { port: 5000 }
    }
}

impl Registry {
    /// The registry that listens on a port.
    #[must_use]
    pub fn at(port: u16) -> Registry {
        Registry { port }
    }

    /// The first part of the names of its images. An engine talks HTTP to this host, and HTTPS to others.
    #[must_use]
    pub fn host(self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Waits until it answers; a request for a login is an answer.
    ///
    /// # Errors
    /// No answer at the deadline.
    pub async fn wait(self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            match self.get("", None).await {
                Ok((200 | 401, ..)) => return Ok(()),
                Ok((status, ..)) if began.elapsed() > DEADLINE => {
                    anyhow::bail!(
                        "the server at {} is not a registry (HTTP {status}): choose another port with --registry=PORT",
                        self.host()
                    )
                }
                Err(error) if began.elapsed() > DEADLINE => return Err(error),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Returns the manifest of a tag or a digest; `None` if there is none. `login` is `USER:PASSWORD` in base64.
    pub async fn manifest(
        self,
        repository: &str,
        reference: &str,
        login: Option<&str>,
    ) -> anyhow::Result<Option<RegistryManifest>> {
        let path = format!("{repository}/manifests/{reference}");
        let (status, digest, text) = self.get(&path, login).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "{} answers {path} with HTTP {status}: {text}", self.host());
        let content = serde_json::from_str(&text).with_context(|| format!("the manifest at {path} is not JSON"))?;
        Ok(Some(RegistryManifest { digest, content }))
    }

    /// Returns the status, the digest and the body of the answer to a request of the registry's API.
    async fn get(self, path: &str, login: Option<&str>) -> anyhow::Result<(u16, String, String)> {
        let url = format!("http://127.0.0.1:{}/v2/{path}", self.port);
        let authorization = login.map(|login| format!("Basic {login}"));
        let request = move || {
            let mut request = http::agent(Duration::from_secs(10)).get(&url).header("accept", MANIFESTS);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let mut response = request.call().with_context(|| format!("no answer from {url}"))?;
            let digest = response.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
            let digest = digest.unwrap_or_default().to_owned();
            let text = response.body_mut().read_to_string().with_context(|| format!("{url}: no answer"))?;
            Ok((response.status().as_u16(), digest, text))
        };
        tokio::task::spawn_blocking(request).await.context("the request panicked")?
    }

    /// Returns the base images that are local and in Docker Hub's names, and not in the registry as they are here.
    pub(crate) async fn missing(self, engine: &Engine) -> anyhow::Result<Vec<MirroredImage>> {
        let mut missing = Vec::new();
        for image in mirrored_images(engine).await? {
            let manifest = self.manifest(&image.repository, &image.tag, None).await?;
            if !manifest.is_some_and(|manifest| manifest.is_of(&image.id)) {
                missing.push(image);
            }
        }
        Ok(missing)
    }

    /// Starts it in a container that starts again with the engine, and pushes the base images that it lacks.
    pub(crate) async fn fill(self) -> anyhow::Result<()> {
        let engine = Engine::connect().await?;
        if self.get("", None).await.is_err() {
            self.start(&engine).await?;
        }
        for MirroredImage { local, repository, tag, .. } in self.missing(&engine).await? {
            let name = format!("{}/{repository}:{tag}", self.host());
            Cmd::new("docker").args(["tag", &local.name, &name]).run().await?;
            let pushed = Cmd::new("docker").args(["push", "--quiet", &name]).run().await;
            engine.remove_image(&name).await?;
            pushed?;
        }
        Ok(())
    }

    async fn start(self, engine: &Engine) -> anyhow::Result<()> {
        let image = BaseImage::registry().resolve(engine).await?;
        // One that is stopped, or that has another port. Its volume remains.
        for container in engine.containers_with(&format!("{LABEL}={NAME}")).await? {
            engine.remove(&container.id).await?;
        }
        let run = ["run", "--detach", "--name", NAME, "--restart", "unless-stopped"];
        Cmd::new("docker")
            .args(run)
            .args(["--label", &format!("{LABEL}={NAME}"), "--volume", &format!("{NAME}:/var/lib/registry")])
            .args(["--publish", &format!("127.0.0.1:{}:5000", self.port), &image.name])
            .run()
            .await?;
        self.wait().await
    }
}

/// A local base image with its place in a mirror of Docker Hub.
pub(crate) struct MirroredImage {
    local: Resolved,
    id: String,
    repository: String,
    tag: String,
}

/// The local base images, without those of other registries than Docker Hub: an engine mirrors no other.
async fn mirrored_images(engine: &Engine) -> anyhow::Result<Vec<MirroredImage>> {
    let mut images = Vec::new();
    for image in BaseImage::all().await? {
        let Some(local) = image.local(engine).await? else { continue };
        let Some((repository, tag)) = docker_hub(&image.name) else {
            ui::warning(&format!("{} is not an image of Docker Hub, so no mirror of it serves it", image.name));
            continue;
        };
        let id = engine.image(&local.name).await?.with_context(|| format!("there is no image {}", local.name))?.id;
        images.push(MirroredImage { local, id, repository, tag });
    }
    Ok(images)
}

/// Returns the repository and the tag of a name in Docker Hub; `None` for another registry's and for a digest.
fn docker_hub(name: &str) -> Option<(String, String)> {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, "latest"),
    };
    if host_of(name).is_some() || path.contains('@') {
        return None;
    }
    let repository = if path.contains('/') { path.to_owned() } else { format!("library/{path}") };
    Some((repository, tag.to_owned()))
}

/// Returns the registry's host in the name of an image, which the docker command recognizes in the same way; names of
/// Docker Hub have none.
pub fn host_of(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
}

#[cfg(test)]
mod tests {
    use super::{docker_hub, host_of};

    #[test]
    fn names_of_docker_hub_have_a_repository_and_a_tag() {
        let of = |name| docker_hub(name).map(|(repository, tag)| format!("{repository} {tag}"));
        assert_eq!(of("directus/directus:11.17.4").unwrap(), "directus/directus 11.17.4");
        assert_eq!(of("redis:7").unwrap(), "library/redis 7");
        assert_eq!(of("docker.io/library/redis").unwrap(), "library/redis latest");
        assert_eq!(of("redis@sha256:0123"), None);
    }

    #[test]
    fn names_of_other_registries_are_not_of_docker_hub() {
        for name in ["ghcr.io/a/b:1", "localhost/a", "localhost:5000/a/b", "registry:5000/a/b:1"] {
            assert_eq!(docker_hub(name), None, "{name}");
        }
    }

    #[test]
    fn the_host_is_the_first_part_of_a_name_if_it_cannot_be_a_user() {
        assert_eq!(host_of("localhost:5000/trm@sha256:0123"), Some("localhost:5000"));
        assert_eq!(host_of("ghcr.io/a/b:1"), Some("ghcr.io"));
        for name in ["directus/directus:11.17.4", "redis:7", "trm-directus:dev", "localhost"] {
            assert_eq!(host_of(name), None, "{name}");
        }
    }
}
