//! The variant of an image, and the layers of its base; only the layers above those are ours.

use anyhow::{Context as _, ensure};
use grammar::Variant;

use crate::engine::{Engine, ImageInfo};

/// The label that contains the variant.
const LABEL: &str = "trm.variant";

/// Returns the variant by an image's label.
pub(super) fn variant_of(image: &ImageInfo) -> Variant {
    let is_slim = image.labels.get(LABEL).is_some_and(|label| label == Variant::Slim.name());
    if is_slim { Variant::Slim } else { Variant::Full }
}

/// The layers of an image's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseLayers {
    /// Number of layers.
    pub count: usize,
    /// Number of their entries in the image's history.
    pub history: usize,
}

/// Returns the base's layers of a local image. The base of a full image has upstream's own layers, with which the image
/// must begin. The base of a slim image is its first layer; [`crate::image::upstream`] checks that it contains only
/// upstream's files.
pub async fn base_layers(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<BaseLayers> {
    let ours = info(engine, image).await?;
    match variant_of(&ours) {
        Variant::Slim => Ok(BaseLayers { count: 1, history: 1 }),
        Variant::Full => {
            let base = info(engine, upstream).await?;
            ensure!(ours.layers.starts_with(&base.layers), "{image} is not built on the local image {upstream}");
            Ok(BaseLayers { count: base.layers.len(), history: engine.instructions(upstream).await?.len() })
        }
    }
}

async fn info(engine: &Engine, name: &str) -> anyhow::Result<ImageInfo> {
    engine.image(name).await?.with_context(|| format!("there is no image {name}"))
}
