//! The layers of a saved image, including files that a later layer removes or replaces.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::files::{FileEntry, entry_of, read_archive};
use super::{Engine, FileKind};

/// Bytes above which a layer is not held in memory: only layers of the base are this large.
const LARGE: u64 = 64_000_000;

/// A file that a layer adds.
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// The path, its owner and mode.
    pub entry: FileEntry,
    /// The file's bytes.
    pub content: Vec<u8>,
}

impl Engine {
    /// Returns the files of an image's layers above the first `base_layers`.
    pub async fn layer_files(&self, image: &str, base_layers: usize) -> anyhow::Result<Vec<LayerFile>> {
        let saved = self.docker.export_image(image);
        let files = read_archive(saved, move |archive| read_layers(archive, base_layers)).await;
        files.with_context(|| format!("failed to read the layers of {image}"))
    }
}

/// A part of the saved image. The manifest, which lists the layers in order, comes last.
enum ArchivePart {
    Content(Vec<u8>),
    TooLarge(u64),
    /// The path of an identical part.
    Link(String),
}

#[derive(Deserialize)]
struct ImageManifest {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

fn read_layers(archive: impl Read, base_layers: usize) -> anyhow::Result<Vec<LayerFile>> {
    let mut parts = HashMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let part = match entry.header().entry_type() {
            tar::EntryType::Regular if entry.size() > LARGE => ArchivePart::TooLarge(entry.size()),
            tar::EntryType::Regular => ArchivePart::Content(content(&mut entry)?),
            tar::EntryType::Symlink => {
                ArchivePart::Link(resolve(&path, &entry.link_name()?.unwrap_or_default().to_string_lossy()))
            }
            _ => continue,
        };
        parts.insert(path, part);
    }
    let Some(ArchivePart::Content(manifest)) = parts.get("manifest.json") else { bail!("the archive has no manifest") };
    let manifests: Vec<ImageManifest> = serde_json::from_slice(manifest).context("the manifest cannot be parsed")?;
    let layers = &manifests.first().context("the manifest lists no image")?.layers;
    ensure!(layers.len() >= base_layers, "the image has fewer layers than its base");
    let mut files = Vec::new();
    for layer in &layers[base_layers..] {
        let mut part = parts.get(layer);
        while let Some(ArchivePart::Link(target)) = part {
            part = parts.get(target);
        }
        match part {
            Some(ArchivePart::Content(content)) => {
                files.append(&mut layer_files(content).with_context(|| format!("failed to read layer {layer}"))?);
            }
            Some(ArchivePart::TooLarge(size)) => {
                bail!("layer {layer}, above the base, has {size} bytes; at most {LARGE} are read")
            }
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
    ensure!(!layer.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "zstd compression is not supported");
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

/// Resolves a link's target to a path from the archive's root: `a/layer.tar` and `../b/layer.tar` give `b/layer.tar`.
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

    fn builder(files: &[(&str, &[u8])]) -> tar::Builder<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        builder(files).into_inner().unwrap()
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
    fn a_file_that_a_later_layer_removes_is_listed_and_the_base_is_not() {
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
    fn a_repeated_layer_is_read_through_its_link() {
        assert_eq!(resolve("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        let mut builder = builder(&[
            ("b/layer.tar", &archive(&[("x", b"1")])),
            ("manifest.json", br#"[{"Layers":["a/layer.tar"]}]"#),
        ]);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a/layer.tar", "../b/layer.tar").unwrap();
        assert_eq!(paths(&builder.into_inner().unwrap(), 0), ["/x"]);
    }
}
