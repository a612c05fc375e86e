//! `image`: builds the image, and lists what it adds to its base.

use std::process::ExitCode;

use anyhow::bail;
use testbed::engine::Engine;
use testbed::image::size::{self, MB, SizeVerdict};
use testbed::image::{BuildMode, BuildOptions, BuiltImage, build};
use testbed::ui;

/// Runs `image`.
pub(crate) async fn run(flags: &grammar::ImageFlags) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let mode = match (flags.source, flags.release) {
        (true, _) => BuildMode::Source,
        (false, true) => BuildMode::Release,
        (false, false) => BuildMode::Quick,
    };
    let built =
        build(&engine, &flags.tag, BuildOptions { mode, variant: flags.variant, platform: flags.platform }).await?;
    if flags.json {
        ui::json_result(&built)?;
    } else {
        ui::result(&render(&built));
    }
    match size::check_limits(&built.sizes, flags.max_size.map(|mb| mb * MB)) {
        SizeVerdict::Fine => {}
        SizeVerdict::Large(text) => ui::warning(&text),
        SizeVerdict::TooLarge(text) => bail!(text),
    }
    Ok(ExitCode::SUCCESS)
}

fn render(built: &BuiltImage) -> String {
    let BuiltImage { image, platform, sizes, base, variant, .. } = built;
    let layers = &sizes.layers;
    let mut rows = vec![
        ["image".to_owned(), ui::size(sizes.size_bytes), format!("{image}, {platform}")],
        ["base".to_owned(), ui::size(sizes.base_bytes), format!("{base}, {variant}")],
        ["bundle".to_owned(), ui::size(sizes.bundle_bytes), "Directus bundled and compiled".to_owned()],
        ["ours".to_owned(), ui::size(sizes.ours_bytes), format!("in {} layers with the bundle", layers.len())],
    ];
    rows.extend(layers.iter().map(|layer| [String::new(), ui::size(layer.size_bytes), layer.instruction.clone()]));
    ui::columns(&rows)
}
