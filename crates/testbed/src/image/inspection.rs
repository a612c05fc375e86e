//! Looks at who an image runs as and what that user can change: what `inspect-user` shows and `verify` judges.

use std::rc::Rc;

use anyhow::Context as _;

use crate::engine::{ContainerSpec, Engine, LayerFile};
use crate::image::ownership::{self, Check, Files, GID, UID};
use crate::image::variant;
use crate::run::Run;

/// Everything that is promised about an image's user and files. What the image adds to its base is asked for only if
/// something raises rights: it is long to read.
pub async fn inspect(
    engine: &Engine,
    run: &Run,
    image: &str,
    files: Files,
    added: impl AsyncFnOnce() -> anyhow::Result<Rc<Vec<LayerFile>>>,
) -> anyhow::Result<Vec<Check>> {
    let config = engine.image(image).await?.with_context(|| format!("there is no image {image}"))?;
    let mut checks = vec![Check::equal("the image's user is node", "node", &config.user)];
    checks.push(id_says(engine, run, image).await?);
    let of_base = if files.raises_rights() { Some(files.without(&added().await?)) } else { None };
    checks.extend(ownership::judge(&files, of_base.as_ref()));
    Ok(checks)
}

/// The files of the layers that an image adds to its base. Upstream's image, which it is made on, is here too.
pub async fn added_files(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<Vec<LayerFile>> {
    engine.layer_files(image, variant::base_layers(engine, image, upstream).await?.count).await
}

/// What a process inside is told about itself; also shows that a first argument that is no subcommand is executed.
async fn id_says(engine: &Engine, run: &Run, image: &str) -> anyhow::Result<Check> {
    let spec =
        ContainerSpec { image: image.to_owned(), command: Some(vec!["id".to_owned()]), ..ContainerSpec::default() };
    let (code, output) = engine.run_to_end(run, spec).await?;
    let expected = format!("uid={UID}(node) gid={GID}(node)");
    // Supplementary groups follow; node's own may be named again there.
    let seen = output.split(" groups=").next().unwrap_or_default();
    let seen = if code == 0 { seen.to_owned() } else { format!("{output} (exit {code})") };
    Ok(Check::equal("`docker run IMAGE id` runs as node", &expected, &seen))
}
