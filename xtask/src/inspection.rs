//! Looks at who an image runs as and what that user can change: what `inspect-user` shows and `verify` judges.

use anyhow::{Context as _, bail};

use crate::engine::{ContainerSpec, Engine};
use crate::ownership::{self, Check, Files, GID, UID};
use crate::run::Run;

/// Everything that is promised about an image's user and files; the base is local, if it is given. Says what is read.
pub(crate) async fn inspect(
    engine: &Engine,
    run: &Run,
    image: &str,
    base: Option<&str>,
    reading: impl Fn(&str),
) -> anyhow::Result<Vec<Check>> {
    let config = engine.image(image).await?.with_context(|| format!("there is no image {image}"))?;
    let mut checks = vec![Check::equal("the image's user is node", "node", &config.user)];
    checks.push(id_says(engine, run, image).await?);
    let files = async |name: &str| {
        reading(&format!("the files of {name}"));
        anyhow::Ok(Files::new(engine.files(run, name).await?))
    };
    let of_image = files(image).await?;
    // A base has half a gigabyte to read, and matters only when there is something to compare.
    let of_base = match (of_image.raises_rights(), base) {
        (false, _) => None,
        (true, Some(base)) => Some(files(base).await?),
        (true, None) => bail!("something in {image} raises rights, and its base is not here to compare it with"),
    };
    checks.extend(ownership::judge(&of_image, of_base.as_ref()));
    Ok(checks)
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
