//! The layers of a saved image, including files that a later layer removes or replaces.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::{FileEntry, entry_of, read_archive};
use super::image::{Layer, shorten};
use super::{Engine, FileKind};

/// Bytes above which a layer is not held in memory: only layers of the base are this large.
const LARGE: u64 = 64_000_000;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The place of a tar archive's magic number in its first block.
const USTAR: std::ops::Range<usize> = 257..262;

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
        let files = read_archive(saved, move |archive| read_files(archive, base_layers)).await;
        files.with_context(|| format!("failed to read the layers of {image}"))
    }

    /// Returns the instructions that created an image, with the bytes of the files in their layers.
    pub(super) async fn saved_history(&self, image: &str) -> anyhow::Result<Vec<Layer>> {
        let history = read_archive(self.docker.export_image(image), read_history).await;
        history.with_context(|| format!("failed to measure the layers of {image}"))
    }
}

/// A saved image, with the results of a function that read its layers.
struct SavedImage<T> {
    parts: HashMap<String, ArchivePart<T>>,
    manifest: ImageManifest,
}

enum ArchivePart<T> {
    Layer(T),
    /// A manifest or a configuration.
    Text(Vec<u8>),
    /// The path of an identical part.
    Link(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageManifest {
    config: String,
    /// From the lowest up.
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct ImageConfig {
    history: Vec<SavedInstruction>,
}

#[derive(Deserialize)]
struct SavedInstruction {
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    empty_layer: bool,
}

impl<T> SavedImage<T> {
    /// Reads an archive in one pass; `read_layer` also gets the layer's saved size.
    fn read(
        archive: impl Read,
        read_layer: impl Fn(&mut dyn Read, u64) -> anyhow::Result<T>,
    ) -> anyhow::Result<SavedImage<T>> {
        let mut parts = HashMap::new();
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let part = match entry.header().entry_type() {
                tar::EntryType::Regular => {
                    let size = entry.size();
                    let mut start = Vec::new();
                    (&mut entry).take(512).read_to_end(&mut start)?;
                    let is_layer = is_layer(&start);
                    let mut whole = start.as_slice().chain(entry);
                    if is_layer {
                        let read = read_layer(&mut whole, size);
                        ArchivePart::Layer(read.with_context(|| format!("failed to read layer {path}"))?)
                    } else {
                        ArchivePart::Text(content(&mut whole, size)?)
                    }
                }
                tar::EntryType::Symlink => {
                    ArchivePart::Link(resolve(&path, &entry.link_name()?.unwrap_or_default().to_string_lossy()))
                }
                _ => continue,
            };
            parts.insert(path, part);
        }
        let manifests: Vec<ImageManifest> = parse(&parts, "manifest.json")?;
        let manifest = manifests.into_iter().next().context("the manifest lists no image")?;
        Ok(SavedImage { parts, manifest })
    }

    /// The layers, from the lowest up.
    fn layers(&self) -> impl Iterator<Item = anyhow::Result<&T>> {
        self.manifest.layers.iter().map(|layer| match part(&self.parts, layer) {
            Some(ArchivePart::Layer(read)) => Ok(read),
            _ => bail!("layer {layer} is missing"),
        })
    }
}

/// Returns a part, through links.
fn part<'a, T>(parts: &'a HashMap<String, ArchivePart<T>>, path: &str) -> Option<&'a ArchivePart<T>> {
    let mut part = parts.get(path);
    while let Some(ArchivePart::Link(target)) = part {
        part = parts.get(target);
    }
    part
}

fn parse<T, D: DeserializeOwned>(parts: &HashMap<String, ArchivePart<T>>, path: &str) -> anyhow::Result<D> {
    let Some(ArchivePart::Text(text)) = part(parts, path) else { bail!("the archive has no {path}") };
    serde_json::from_slice(text).with_context(|| format!("{path} cannot be parsed"))
}

/// Returns true for the start of a layer: a tar archive, compressed or not, or an empty one.
fn is_layer(start: &[u8]) -> bool {
    let is_empty_archive = start.len() == 512 && start.iter().all(|byte| *byte == 0);
    start.get(USTAR) == Some(b"ustar") || start.starts_with(&GZIP) || start.starts_with(&ZSTD) || is_empty_archive
}

fn read_history(archive: impl Read) -> anyhow::Result<Vec<Layer>> {
    let image = SavedImage::read(archive, |layer, _| file_bytes(layer))?;
    let config: ImageConfig = parse(&image.parts, &image.manifest.config)?;
    let mut sizes = image.layers();
    let mut history = Vec::new();
    for SavedInstruction { created_by, empty_layer } in config.history {
        let size_bytes = if empty_layer { 0 } else { *sizes.next().context("a layer is missing")?? };
        history.push(Layer { instruction: shorten(&created_by), size_bytes });
    }
    ensure!(sizes.next().is_none(), "the history has fewer layers than the image");
    Ok(history)
}

/// Returns the bytes of a layer's files: each file once, without links and folders. An engine without the containerd image
/// store also counts the links of some layers: 20 kB of the stand-in for upstream's image, nothing of ours.
fn file_bytes(layer: &mut dyn Read) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in tar::Archive::new(decompressed(layer)?).entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            bytes += entry.size();
        }
    }
    Ok(bytes)
}

/// A layer that was read for its files.
enum Held {
    Content(Vec<u8>),
    TooLarge(u64),
}

fn read_files(archive: impl Read, base_layers: usize) -> anyhow::Result<Vec<LayerFile>> {
    let image = SavedImage::read(archive, |layer, size| {
        Ok(if size > LARGE { Held::TooLarge(size) } else { Held::Content(content(layer, size)?) })
    })?;
    ensure!(image.manifest.layers.len() >= base_layers, "the image has fewer layers than its base");
    let mut files = Vec::new();
    for layer in image.layers().skip(base_layers) {
        match layer? {
            Held::Content(content) => files.append(&mut layer_files(content)?),
            Held::TooLarge(size) => bail!("a layer above the base has {size} bytes; at most {LARGE} are read"),
        }
    }
    Ok(files)
}

fn layer_files(mut layer: &[u8]) -> anyhow::Result<Vec<LayerFile>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(decompressed(&mut layer)?).entries()? {
        let mut entry = entry?;
        let described = entry_of(&mut entry)?;
        if described.kind == FileKind::File {
            let size = entry.size();
            files.push(LayerFile { content: content(&mut entry, size)?, entry: described });
        }
    }
    Ok(files)
}

/// Returns the tar archive of a layer.
fn decompressed<'a>(layer: &'a mut dyn Read) -> anyhow::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    layer.take(ZSTD.len() as u64).read_to_end(&mut start)?;
    ensure!(start != ZSTD, "zstd compression is not supported");
    let is_gzip = start.starts_with(&GZIP);
    let whole = std::io::Cursor::new(start).chain(layer);
    Ok(if is_gzip { Box::new(flate2::read::MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

fn content(file: &mut dyn Read, size: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.read_to_end(&mut content)?;
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

    use super::{file_bytes, read_files, read_history, resolve};

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
        read_files(image, base_layers).unwrap().into_iter().map(|file| file.entry.path).collect()
    }

    #[test]
    fn a_file_that_a_later_layer_removes_is_listed_and_the_base_is_not() {
        let image = archive(&[
            ("a/layer.tar", &archive(&[("etc/base", b"1")])),
            ("b/layer.tar", &archive(&[("secret", b"2")])),
            ("c/layer.tar", &gzip(&archive(&[(".wh.secret", b"")]))),
            ("manifest.json", br#"[{"Config":"x.json","Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}]"#),
        ]);
        assert_eq!(paths(&image, 1), ["/secret", "/.wh.secret"]);
        assert!(read_files(image.as_slice(), 4).is_err());
    }

    #[test]
    fn a_repeated_layer_is_read_through_its_link() {
        assert_eq!(resolve("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        let mut builder = builder(&[
            ("b/layer.tar", &archive(&[("x", b"1")])),
            ("manifest.json", br#"[{"Config":"x.json","Layers":["a/layer.tar"]}]"#),
        ]);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a/layer.tar", "../b/layer.tar").unwrap();
        assert_eq!(paths(&builder.into_inner().unwrap(), 0), ["/x"]);
    }
    #[test]
    fn each_instruction_of_the_history_has_the_bytes_of_its_layer() {
        let config = br#"{"history":[
            {"created_by":"COPY /base / # buildkit"},
            {"created_by":"ENV A=b","empty_layer":true},
            {"created_by":"WORKDIR /a"},
            {"created_by":"COPY /ours /"}]}"#;
        let manifest = br#"[{"Config":"b/x","Layers":["b/1","b/2","b/3"]}]"#;
        let (base, ours) = (archive(&[("a", b"123"), ("b", b"45")]), gzip(&archive(&[("c", b"6")])));
        let files: &[(&str, &[u8])] =
            &[("b/1", &base), ("b/2", &archive(&[])), ("b/3", &ours), ("b/x", config), ("manifest.json", manifest)];
        let history: Vec<(String, u64)> = read_history(archive(files).as_slice())
            .unwrap()
            .into_iter()
            .map(|layer| (layer.instruction, layer.size_bytes))
            .collect();
        let expected = [("COPY /base /", 5), ("ENV A=b", 0), ("WORKDIR /a", 0), ("COPY /ours /", 1)];
        assert_eq!(history, expected.map(|(instruction, size)| (instruction.to_owned(), size)));
        assert!(read_history(archive(&files[1..]).as_slice()).is_err());
    }

    #[test]
    fn a_file_with_two_names_is_counted_once_and_a_link_is_not_counted() {
        let mut builder = builder(&[("a", b"123")]);
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        for (kind, path, target) in [(tar::EntryType::Link, "b", "a"), (tar::EntryType::Symlink, "c", "./a")] {
            header.set_entry_type(kind);
            builder.append_link(&mut header, path, target).unwrap();
        }
        assert_eq!(file_bytes(&mut builder.into_inner().unwrap().as_slice()).unwrap(), 3);
    }
}
