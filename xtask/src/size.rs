//! How large an image is, alone and over its base, and whether that is too much.

use anyhow::Context as _;

use crate::engine::{Engine, Layer};
use crate::ui;

/// As `docker images` counts.
pub(crate) const MB: u64 = 1_000_000;
/// What we may add to the base unless a limit is given: 5 MB, and Directus bundled and compiled.
const MAX_ADDED: u64 = 35 * MB;
/// An image above this is worth a warning: every node that runs it pulls it.
pub(crate) const LARGE: u64 = 600 * MB;

/// The sizes of an image.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Of all its layers.
    pub(crate) size_bytes: u64,
    /// Of its base's.
    pub(crate) base_bytes: u64,
    /// The difference.
    pub(crate) added_bytes: u64,
    /// The layers that it adds to its base.
    pub(crate) layers: Vec<Layer>,
}

/// Measures an image and its base, both local.
pub(crate) async fn measure(engine: &Engine, image: &str, base: &str) -> anyhow::Result<Sizes> {
    let size = async |name: &str| {
        let image = engine.image(name).await?.with_context(|| format!("there is no image {name}"))?;
        anyhow::Ok(image.size)
    };
    let (size_bytes, base_bytes) = (size(image).await?, size(base).await?);
    let added_bytes = size_bytes.saturating_sub(base_bytes);
    Ok(Sizes { size_bytes, base_bytes, added_bytes, layers: engine.added_layers(image, base).await? })
}

/// What is to be said about a size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Nothing.
    Fine,
    /// It is worth a warning.
    Large(String),
    /// It is over the limit.
    TooLarge(String),
}

/// Judges a size: against a limit, if one is given, else against the base.
pub(crate) fn judge(size: u64, base: u64, max: Option<u64>) -> Size {
    let (limit, reason) = match max {
        Some(max) => (max, "--max-size"),
        None => (base + MAX_ADDED, "its base and 35 MB"),
    };
    if size > limit {
        Size::TooLarge(format!("the image has {}, over the limit of {} ({reason})", ui::size(size), ui::size(limit)))
    } else if size > LARGE {
        Size::Large(format!("the image has {}, over {}: every node pulls that", ui::size(size), ui::size(LARGE)))
    } else {
        Size::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_add_thirty_five_megabytes_unless_a_limit_is_given() {
        assert_eq!(judge(435 * MB, 400 * MB, None), Size::Fine);
        assert!(matches!(judge(435 * MB + 1, 400 * MB, None), Size::TooLarge(_)));
        assert_eq!(judge(450 * MB, 400 * MB, Some(500 * MB)), Size::Fine);
        assert!(matches!(judge(401 * MB, 400 * MB, Some(400 * MB)), Size::TooLarge(_)));
    }

    #[test]
    fn an_image_over_600_megabytes_is_warned_about() {
        assert!(matches!(judge(601 * MB, 600 * MB, None), Size::Large(_)));
    }
}
