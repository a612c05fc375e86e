//! What an image is made on, and which of its layers that is: only what lies above them is ours.

use anyhow::{Context as _, ensure};
use grammar::Variant;

use crate::engine::{Engine, ImageInfo};

/// The label by which an image says it.
const LABEL: &str = "trm.variant";

/// The variant by an image's label.
fn variant_of(image: &ImageInfo) -> Variant {
    let is_slim = image.labels.get(LABEL).is_some_and(|label| label == Variant::Slim.name());
    if is_slim { Variant::Slim } else { Variant::Full }
}

/// The layers of an image that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseLayers {
    /// How many.
    pub count: usize,
    /// How many entries of the image's history are theirs.
    pub history: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The base's layers of a local image. Upstream's own, if it is full: an image that does not begin with them is not built
/// on it. The first one, if it is slim, as the Dockerfile has it; that nothing but upstream's files are in it is for
/// [`crate::image::upstream`] to say.
pub async fn base_layers(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<BaseLayers> {
    let info = async |name: &str| engine.image(name).await?.with_context(|| format!("there is no image {name}"));
    let ours = info(image).await?;
    match variant_of(&ours) {
        Variant::Slim => {
            let history = engine.history(image).await?;
            let first = history.first().with_context(|| format!("{image} has no history"))?;
            Ok(BaseLayers { count: 1, history: 1, bytes: first.size_bytes })
        }
        Variant::Full => {
            let base = info(upstream).await?;
            ensure!(ours.layers.starts_with(&base.layers), "{image} is not built on {upstream} as it is here");
            let history = engine.history(upstream).await?.len();
            Ok(BaseLayers { count: base.layers.len(), history, bytes: base.size })
        }
    }
}
