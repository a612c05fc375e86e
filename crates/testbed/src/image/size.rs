//! How large an image is, alone and over its base, and whether that is too much.

use anyhow::Context as _;
use serde::Serialize;

use crate::engine::{Engine, Layer};
use crate::image::variant;
use crate::ui;

/// As `docker images` counts.
pub const MB: u64 = 1_000_000;
/// What Directus may have, bundled and compiled.
const MAX_BUNDLE: u64 = 30 * MB;
/// What may be added besides: the binary, SQL, the snapshot, extensions.
const MAX_OURS: u64 = 5 * MB;
/// An image above this is worth a warning: every node that runs it pulls it.
pub const LARGE: u64 = 600 * MB;

/// The sizes of an image; part of JSON results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Of all its layers.
    pub size_bytes: u64,
    /// Of its base's.
    pub base_bytes: u64,
    /// Of those that are added to it.
    pub added_bytes: u64,
    /// Of the one of these that has Directus bundled and compiled: upstream's code in another form.
    pub bundle_bytes: u64,
    /// Of the other ones of these.
    pub ours_bytes: u64,
    /// The layers that are added, the first one first.
    pub layers: Vec<Layer>,
}

/// Measures a local image that is made on upstream's, which is local too.
pub async fn measure(engine: &Engine, image: &str, upstream: &str) -> anyhow::Result<Sizes> {
    let info = engine.image(image).await?.with_context(|| format!("there is no image {image}"))?;
    let base = variant::base_layers(engine, image, upstream).await?;
    Ok(divide(info.size, base.bytes, engine.history(image).await?.split_off(base.history)))
}

/// Divides what is added, by the instructions that made it.
fn divide(size_bytes: u64, base_bytes: u64, history: Vec<Layer>) -> Sizes {
    let is_bundle = |layer: &&Layer| layer.instruction.ends_with(&format!(" {}", contract::BUNDLE_DIR));
    let bundle_bytes = history.iter().filter(is_bundle).map(|layer| layer.size_bytes).sum();
    let added_bytes = size_bytes.saturating_sub(base_bytes);
    let makes_a_layer = |layer: &Layer| ["COPY", "ADD", "RUN"].iter().any(|verb| layer.instruction.starts_with(verb));
    Sizes {
        size_bytes,
        base_bytes,
        added_bytes,
        bundle_bytes,
        ours_bytes: added_bytes.saturating_sub(bundle_bytes),
        layers: history.into_iter().filter(|layer| layer.size_bytes > 0 || makes_a_layer(layer)).collect(),
    }
}

/// What is to be said about a size.
#[derive(Debug, PartialEq, Eq)]
pub enum Size {
    /// Nothing.
    Fine,
    /// It is worth a warning.
    Large(String),
    /// It is over the limit.
    TooLarge(String),
}

/// Judges sizes: against a limit for the whole, if one is given, else what is added.
pub fn judge(sizes: &Sizes, max: Option<u64>) -> Size {
    let limits = match max {
        Some(max) => vec![("the image has", sizes.size_bytes, max)],
        None => vec![
            ("the layers of ours have", sizes.ours_bytes, MAX_OURS),
            ("Directus bundled and compiled has", sizes.bundle_bytes, MAX_BUNDLE),
        ],
    };
    if let Some((what, bytes, limit)) = limits.into_iter().find(|(_, bytes, limit)| bytes > limit) {
        Size::TooLarge(format!("{what} {}, over the limit of {}", ui::size(bytes), ui::size(limit)))
    } else if sizes.size_bytes > LARGE {
        let size = ui::size(sizes.size_bytes);
        Size::Large(format!("the image has {size}, over {}: every node pulls that", ui::size(LARGE)))
    } else {
        Size::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(base: u64, bundle: u64, ours: u64) -> Sizes {
        Sizes { size_bytes: base + bundle + ours, bundle_bytes: bundle, ours_bytes: ours, ..Sizes::default() }
    }

    #[test]
    fn what_is_added_is_divided_by_the_instructions_that_made_it() {
        let layer = |instruction: &str, size_bytes| Layer { instruction: instruction.to_owned(), size_bytes };
        let history = vec![
            layer("WORKDIR /directus", 0),
            layer("COPY /uploads /directus/uploads", 0),
            layer("COPY /directus/bundle /directus/bundle", 24),
            layer("COPY /entrypoint /usr/local/bin/entrypoint", 2),
            layer("LABEL a=b", 0),
        ];
        let sizes = divide(126, 100, history.clone());
        assert_eq!((sizes.bundle_bytes, sizes.ours_bytes, sizes.added_bytes), (24, 2, 26));
        assert_eq!(sizes.layers, history[1..4]);
    }

    #[test]
    fn five_megabytes_may_be_added_and_thirty_be_bundled_unless_a_limit_is_given() {
        assert_eq!(judge(&sizes(300 * MB, 30 * MB, 5 * MB), None), Size::Fine);
        let text = |size| if let Size::TooLarge(text) = size { text } else { String::new() };
        let ours = text(judge(&sizes(300 * MB, MB, 5 * MB + 100_000), None));
        assert_eq!(ours, "the layers of ours have 5.1 MB, over the limit of 5.0 MB");
        assert!(
            text(judge(&sizes(300 * MB, 31 * MB, 0), None)).starts_with("Directus bundled and compiled has 31.0 MB")
        );
        assert_eq!(judge(&sizes(300 * MB, 40 * MB, 10 * MB), Some(400 * MB)), Size::Fine);
        assert!(matches!(judge(&sizes(300 * MB, 0, 0), Some(200 * MB)), Size::TooLarge(_)));
    }

    #[test]
    fn an_image_over_600_megabytes_is_warned_about() {
        assert!(matches!(judge(&sizes(600 * MB, 0, MB), None), Size::Large(_)));
    }
}
