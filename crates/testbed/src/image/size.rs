//! The size of an image and of its parts, and the limits for them.

use anyhow::Context as _;
use serde::Serialize;

use crate::engine::{Engine, Layer};
use crate::image::variant;
use crate::ui;

/// A megabyte, as the docker command counts.
pub const MB: u64 = 1_000_000;
/// The limit for Directus bundled and compiled.
const MAX_BUNDLE: u64 = 30 * MB;
/// The Dockerfile's instruction that adds [`contract::BUNDLE_DIR`].
const BUNDLE_INSTRUCTION: &str = "COPY /ours/bundle /";
/// The limit for the rest that is added: the binary, SQL, the snapshot, extensions.
const MAX_OURS: u64 = 5 * MB;
/// The size of an image above which there is a warning: every node that runs it pulls it.
pub const LARGE: u64 = 600 * MB;

/// The sizes of an image; part of JSON results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// All layers: the bytes of their files, uncompressed, as `docker images` without the containerd image store.
    pub size_bytes: u64,
    /// The layers of the base.
    pub base_bytes: u64,
    /// The layers above the base.
    pub added_bytes: u64,
    /// The added layer with Directus bundled and compiled: upstream's code in another form.
    pub bundle_bytes: u64,
    /// The other added layers.
    pub ours_bytes: u64,
    /// The added layers, from the lowest up.
    pub layers: Vec<Layer>,
}

/// Measures a local image that is built on upstream's, which must be local, too.
pub async fn measure(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<Sizes> {
    let base = variant::base_layers(engine, image, upstream).await?;
    divide(engine.history(image).await?, base.history)
        .with_context(|| format!("{image} has fewer layers than its base"))
}

/// Returns the bytes of a local image: of the files in all of its layers, uncompressed.
pub async fn image_bytes(engine: &Engine, image: &str) -> anyhow::Result<u64> {
    Ok(sum(&engine.history(image).await?))
}

/// Divides the bytes by the instructions that created them; the first `of_base` created the base.
fn divide(mut history: Vec<Layer>, of_base: usize) -> Option<Sizes> {
    if history.len() < of_base {
        return None;
    }
    let layers = history.split_off(of_base);
    let (base_bytes, added_bytes) = (sum(&history), sum(&layers));
    let bundle_bytes = layers.iter().filter(|layer| is_bundle(layer)).map(|layer| layer.size_bytes).sum();
    Some(Sizes {
        size_bytes: base_bytes + added_bytes,
        base_bytes,
        added_bytes,
        bundle_bytes,
        ours_bytes: added_bytes - bundle_bytes,
        layers: layers.into_iter().filter(|layer| layer.size_bytes > 0 || creates_a_layer(layer)).collect(),
    })
}

fn sum(layers: &[Layer]) -> u64 {
    layers.iter().map(|layer| layer.size_bytes).sum()
}

fn is_bundle(layer: &Layer) -> bool {
    layer.instruction == BUNDLE_INSTRUCTION
}

fn creates_a_layer(layer: &Layer) -> bool {
    ["COPY", "ADD", "RUN"].iter().any(|verb| layer.instruction.starts_with(verb))
}

/// The verdict on an image's sizes.
#[derive(Debug, PartialEq, Eq)]
pub enum SizeVerdict {
    /// Within all limits.
    Fine,
    /// Large enough for this warning.
    Large(String),
    /// Over a limit.
    TooLarge(String),
}

/// Compares the image with a limit in bytes, or without one, its added parts with theirs.
pub fn check_limits(sizes: &Sizes, max: Option<u64>) -> SizeVerdict {
    let limits = match max {
        Some(max) => vec![("the image has", sizes.size_bytes, max)],
        None => vec![
            ("our layers have", sizes.ours_bytes, MAX_OURS),
            ("Directus bundled and compiled has", sizes.bundle_bytes, MAX_BUNDLE),
        ],
    };
    if let Some((what, bytes, limit)) = limits.into_iter().find(|(_, bytes, limit)| bytes > limit) {
        SizeVerdict::TooLarge(format!("{what} {}, over the limit of {}", ui::size(bytes), ui::size(limit)))
    } else if sizes.size_bytes > LARGE {
        let size = ui::size(sizes.size_bytes);
        SizeVerdict::Large(format!("the image has {size}, over {}: every node pulls it", ui::size(LARGE)))
    } else {
        SizeVerdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(base: u64, bundle: u64, ours: u64) -> Sizes {
        Sizes { size_bytes: base + bundle + ours, bundle_bytes: bundle, ours_bytes: ours, ..Sizes::default() }
    }

    #[test]
    fn added_bytes_are_divided_by_their_instructions() {
        let history = [
            ("COPY /base /", 100),
            ("WORKDIR /directus", 0),
            ("COPY /ours/uploads /", 0),
            ("COPY /ours/bundle /", 24),
            ("COPY /ours/entrypoint /", 2),
            ("LABEL a=b", 0),
        ]
        .map(|(instruction, size_bytes)| Layer { instruction: instruction.to_owned(), size_bytes });
        let sizes = divide(history.to_vec(), 1).unwrap();
        assert_eq!((sizes.size_bytes, sizes.base_bytes, sizes.added_bytes), (126, 100, 26));
        assert_eq!((sizes.bundle_bytes, sizes.ours_bytes), (24, 2));
        assert_eq!(sizes.layers, history[2..5]);
        assert_eq!(divide(history.to_vec(), 7), None);
    }

    #[test]
    fn ours_is_limited_to_5_mb_and_the_bundle_to_30_unless_a_limit_is_given() {
        assert_eq!(check_limits(&sizes(300 * MB, 30 * MB, 5 * MB), None), SizeVerdict::Fine);
        let ours = "our layers have 5.1 MB, over the limit of 5.0 MB".to_owned();
        assert_eq!(check_limits(&sizes(300 * MB, MB, 5 * MB + 100_000), None), SizeVerdict::TooLarge(ours));
        let bundle = "Directus bundled and compiled has 31.0 MB, over the limit of 30.0 MB".to_owned();
        assert_eq!(check_limits(&sizes(300 * MB, 31 * MB, 0), None), SizeVerdict::TooLarge(bundle));
        assert_eq!(check_limits(&sizes(300 * MB, 40 * MB, 10 * MB), Some(400 * MB)), SizeVerdict::Fine);
        assert!(matches!(check_limits(&sizes(300 * MB, 0, 0), Some(200 * MB)), SizeVerdict::TooLarge(_)));
    }

    #[test]
    fn an_image_over_600_mb_gets_a_warning() {
        assert!(matches!(check_limits(&sizes(600 * MB, 0, MB), None), SizeVerdict::Large(_)));
    }
}
