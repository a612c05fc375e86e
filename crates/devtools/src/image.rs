//! `image`: builds the image, and lists what it adds to its base.

use std::process::ExitCode;

use anyhow::bail;
use testbed::engine::Engine;
use testbed::image::size::{self, MB, Size};
use testbed::image::{Binary, Built, Recipe, build};
use testbed::ui;

/// Runs `image`.
pub(crate) async fn run(flags: &grammar::Image) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let binary = match (flags.source, flags.release) {
        (true, _) => Binary::Source,
        (false, true) => Binary::Release,
        (false, false) => Binary::Quick,
    };
    let built = build(&engine, &flags.tag, Recipe { binary, variant: flags.variant }).await?;
    if flags.json {
        ui::json_result(&built)?;
    } else {
        ui::result(&render(&built));
    }
    match size::judge(&built.sizes, flags.max_size.map(|mb| mb * MB)) {
        Size::Fine => {}
        Size::Large(text) => ui::warning(&text),
        Size::TooLarge(text) => bail!(text),
    }
    Ok(ExitCode::SUCCESS)
}

fn render(built: &Built) -> String {
    let Built { image, sizes, base, variant, .. } = built;
    let layers = &sizes.layers;
    let mut rows = vec![
        ["image".to_owned(), ui::size(sizes.size_bytes), image.clone()],
        ["base".to_owned(), ui::size(sizes.base_bytes), format!("{base}, {variant}")],
        ["bundle".to_owned(), ui::size(sizes.bundle_bytes), "Directus bundled and compiled".to_owned()],
        ["ours".to_owned(), ui::size(sizes.ours_bytes), format!("in {} layers with the bundle", layers.len())],
    ];
    rows.extend(layers.iter().map(|layer| [String::new(), ui::size(layer.size_bytes), layer.instruction.clone()]));
    ui::columns(&rows)
}
