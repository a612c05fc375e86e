//! Inspects the user of an image and the files that this user can change, for `inspect-user` and `verify`.

use std::rc::Rc;

use anyhow::Context as _;

use crate::engine::{ContainerSpec, Engine, LayerFile};
use crate::image::ownership::{self, FileTree, GID, PromiseResult, UID};
use crate::image::variant;
use crate::session::EngineSession;

/// Checks every promise about an image's user and files. `added` (the files that the image adds to its base) is called
/// only if a file raises rights, because reading them takes long.
pub async fn inspect(
    engine: &Engine,
    session: &EngineSession,
    image: &str,
    files: FileTree,
    added: impl AsyncFnOnce() -> anyhow::Result<Rc<Vec<LayerFile>>>,
) -> anyhow::Result<Vec<PromiseResult>> {
    let config = engine
        .image(image)
        .await?
        .with_context(|| format!("there is no image {image}; `cargo xtask image --tag {image}` builds it"))?;
    let mut checks = vec![PromiseResult::equal("the image's user is node", "node", &config.user)];
    checks.push(run_id(engine, session, image).await?);
    let of_base = if files.raises_rights() { Some(files.without(&added().await?)) } else { None };
    checks.extend(ownership::check_files(&files, of_base.as_ref()));
    Ok(checks)
}

/// Returns the files of the layers that an image adds to its base. Upstream's image must be local, too.
pub async fn added_files(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<Vec<LayerFile>> {
    engine.layer_files(image, variant::base_layers(engine, image, upstream).await?.count).await
}

/// Checks the user of a process inside, and thereby that a first argument that is not a subcommand is executed.
async fn run_id(engine: &Engine, session: &EngineSession, image: &str) -> anyhow::Result<PromiseResult> {
    let spec =
        ContainerSpec { image: image.to_owned(), command: Some(vec!["id".to_owned()]), ..ContainerSpec::default() };
    let (code, output) = engine.run_to_end(session, spec).await?;
    let expected = format!("uid={UID}(node) gid={GID}(node)");
    // Supplementary groups follow; node's own may be repeated there.
    let seen = output.split(" groups=").next().unwrap_or_default();
    let seen = if code == 0 { seen.to_owned() } else { format!("{output} (exit {code})") };
    Ok(PromiseResult::equal("`docker run IMAGE id` runs as node", &expected, &seen))
}
