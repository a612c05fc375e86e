//! `inspect-user`: who the image runs as, and that it cannot change what it is made of.

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use crate::engine::{ContainerSpec, Engine};
use crate::ownership::{self, Check, Files, GID, UID};
use crate::run::Run;
use crate::{base_images::BaseImage, flags, ui};

#[derive(Serialize)]
struct Report<'a> {
    image: &'a str,
    ok: bool,
    deviations: usize,
    checks: &'a [Check],
}

/// Runs `inspect-user`.
pub(crate) async fn run(flags: &flags::InspectUser) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let image = &flags.image;
    let config = engine
        .image(image)
        .await?
        .with_context(|| format!("there is no image {image}; `cargo xtask image --tag {image}` builds it"))?;
    let run = Run::start(&engine, "inspect").await?;

    let mut checks = vec![Check::equal("the image's user is node", "node", &config.user)];
    checks.push(id_says(&engine, &run, image).await?);
    ui::status("Reading", &format!("the files of {image}"));
    let files = Files::new(engine.files(&run, image).await?);
    // A base has half a gigabyte to read, and matters only when there is something to compare.
    let base = if files.raises_rights() { Some(base_files(&engine, &run).await?) } else { None };
    checks.extend(ownership::judge(&files, base.as_ref()));

    let deviations = checks.iter().filter(|check| !check.ok).count();
    if flags.json {
        ui::json_result(&Report { image, ok: deviations == 0, deviations, checks: &checks })?;
    } else {
        ui::result(&render(&checks));
    }
    Ok(if deviations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

async fn base_files(engine: &Engine, run: &Run) -> anyhow::Result<Files> {
    let base = BaseImage::directus()?.resolve(engine).await?;
    ui::status("Reading", &format!("the files of {}", base.name));
    Ok(Files::new(engine.files(run, &base.name).await?))
}

fn render(checks: &[Check]) -> String {
    let mark = |check: &Check| if check.ok { "ok" } else { "DEVIATION" };
    let rows: Vec<[String; 3]> =
        checks.iter().map(|check| [mark(check).to_owned(), check.promise.clone(), check.evidence.clone()]).collect();
    let deviations = checks.iter().filter(|check| !check.ok).count();
    format!("{}\n{deviations} deviations in {} checks", ui::columns(&rows), checks.len())
}
