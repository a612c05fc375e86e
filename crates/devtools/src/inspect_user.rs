//! `inspect-user`: checks the user of the image, and that this user cannot change the image's files.

use std::process::ExitCode;
use std::rc::Rc;

use serde::Serialize;

use testbed::base_images::BaseImage;
use testbed::engine::Engine;
use testbed::image::ownership::{FileTree, PromiseResult};
use testbed::image::{self, inspection};
use testbed::session::EngineSession;
use testbed::ui;

#[derive(Serialize)]
struct UserReport<'a> {
    image: &'a str,
    ok: bool,
    deviations: usize,
    checks: &'a [PromiseResult],
}

/// Runs `inspect-user`.
pub(crate) async fn run(flags: &grammar::InspectUserFlags) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let image = &flags.image;
    image::obtain(&engine, image).await?;
    let session = EngineSession::start(&engine, "inspect").await?;
    ui::status("Reading", &format!("the files of {image}"));
    let files = FileTree::new(engine.files(&session, image).await?);
    let checks = inspection::inspect(&engine, &session, image, files, async || {
        let base = BaseImage::directus()?.resolve(&engine).await?;
        Ok(Rc::new(inspection::added_files(&engine, image, &base.name).await?))
    })
    .await?;

    let deviations = checks.iter().filter(|check| !check.ok).count();
    if flags.json {
        ui::json_result(&UserReport { image, ok: deviations == 0, deviations, checks: &checks })?;
    } else {
        ui::result(&render(&checks));
    }
    Ok(if deviations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn render(checks: &[PromiseResult]) -> String {
    let rows = checks.iter().map(|check| {
        let verdict = if check.ok { "ok" } else { "DEVIATION" };
        [verdict.to_owned(), check.promise.clone(), check.evidence.clone()]
    });
    let rows: Vec<[String; 3]> = rows.collect();
    let deviations = checks.iter().filter(|check| !check.ok).count();
    format!("{}\n{deviations} deviations in {} checks", ui::columns(&rows), checks.len())
}
