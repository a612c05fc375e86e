//! The layers of an image, as it is saved: also what a later layer has removed or put something else in the place of.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::files::{FileEntry, entry_of, read_archive};
use super::{Engine, FileKind};

/// A layer above this is the base's, or no layer that anybody should add; it is not kept while the image is read.
const LARGE: u64 = 64_000_000;

/// A file that a layer brings.
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// Its path, owner and mode.
    pub entry: FileEntry,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Engine {
    /// The files of an image's layers but for the first ones, which are its base's.
    pub async fn layer_files(&self, image: &str, base_layers: usize) -> anyhow::Result<Vec<LayerFile>> {
        let read = move |archive| read_layers(archive, base_layers);
        let files = read_archive(self.docker.export_image(image), read).await;
        files.with_context(|| format!("failed to read the layers of {image}"))
    }
}

/// A part of the saved image. Which of them are layers, and whose, is said at the very end of it.
enum Part {
    Content(Vec<u8>),
    TooLarge(u64),
    /// The same as another part.
    Link(String),
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

fn read_layers(archive: impl Read, base_layers: usize) -> anyhow::Result<Vec<LayerFile>> {
    let mut parts = HashMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let part = match entry.header().entry_type() {
            tar::EntryType::Regular if entry.size() > LARGE => Part::TooLarge(entry.size()),
            tar::EntryType::Regular => Part::Content(content(&mut entry)?),
            tar::EntryType::Symlink => {
                Part::Link(resolve(&path, &entry.link_name()?.unwrap_or_default().to_string_lossy()))
            }
            _ => continue,
        };
        parts.insert(path, part);
    }
    let Some(Part::Content(manifest)) = parts.get("manifest.json") else { bail!("it has no manifest") };
    let manifests: Vec<Manifest> = serde_json::from_slice(manifest).context("its manifest is not understood")?;
    let layers = &manifests.first().context("its manifest names no image")?.layers;
    ensure!(layers.len() >= base_layers, "it has fewer layers than its base");
    let mut files = Vec::new();
    for layer in &layers[base_layers..] {
        let mut part = parts.get(layer);
        while let Some(Part::Link(target)) = part {
            part = parts.get(target);
        }
        match part {
            Some(Part::Content(content)) => files.append(&mut layer_files(content).context("a layer is no archive")?),
            Some(Part::TooLarge(size)) => bail!("one of the layers that are added to the base has {size} bytes"),
            _ => bail!("layer {layer} is missing"),
        }
    }
    Ok(files)
}

fn layer_files(layer: &[u8]) -> anyhow::Result<Vec<LayerFile>> {
    if layer.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(layer).read_to_end(&mut plain)?;
        return layer_files(&plain);
    }
    ensure!(!layer.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "it is compressed with zstd");
    let mut files = Vec::new();
    for entry in tar::Archive::new(layer).entries()? {
        let mut entry = entry?;
        let described = entry_of(&mut entry)?;
        if described.kind == FileKind::File {
            files.push(LayerFile { content: content(&mut entry)?, entry: described });
        }
    }
    Ok(files)
}

fn content(entry: &mut tar::Entry<'_, impl Read>) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or_default());
    entry.read_to_end(&mut content)?;
    Ok(content)
}

/// A link's target as a path from the archive's top: `a/layer.tar` and `../b/layer.tar` make `b/layer.tar`.
fn resolve(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{read_layers, resolve};

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn paths(image: &[u8], base_layers: usize) -> Vec<String> {
        read_layers(image, base_layers).unwrap().into_iter().map(|file| file.entry.path).collect()
    }

    #[test]
    fn what_a_later_layer_removes_is_still_seen_and_the_base_is_not() {
        let image = archive(&[
            ("a/layer.tar", &archive(&[("etc/base", b"1")])),
            ("b/layer.tar", &archive(&[("secret", b"2")])),
            ("c/layer.tar", &gzip(&archive(&[(".wh.secret", b"")]))),
            ("manifest.json", br#"[{"Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}]"#),
        ]);
        assert_eq!(paths(&image, 1), ["/secret", "/.wh.secret"]);
        assert!(read_layers(image.as_slice(), 4).is_err());
    }

    #[test]
    fn a_layer_that_is_there_twice_is_a_link_the_second_time() {
        assert_eq!(resolve("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content).unwrap();
        };
        add("b/layer.tar", &archive(&[("x", b"1")]));
        add("manifest.json", br#"[{"Layers":["a/layer.tar"]}]"#);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a/layer.tar", "../b/layer.tar").unwrap();
        assert_eq!(paths(&builder.into_inner().unwrap(), 0), ["/x"]);
    }
}
