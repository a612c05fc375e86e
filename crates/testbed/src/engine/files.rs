//! The files of an image, from the archive of its file system. Nothing is unpacked or executed.

use std::collections::HashMap;
use std::io::Read;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{ContainerSpec, Engine};
use crate::session::EngineSession;

/// The kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file or a hard link to one.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; its own mode has no meaning.
    Link,
    /// A device or a pipe.
    Other,
}

/// One path of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Absolute, without a trailing slash.
    pub path: String,
    /// File, folder, link or other.
    pub kind: FileKind,
    /// The owning user.
    pub uid: u64,
    /// The owning group.
    pub gid: u64,
    /// Permission bits, including setuid, setgid and sticky.
    pub mode: u32,
    /// True if executing it grants capabilities.
    pub capabilities: bool,
    /// Time of the last change, in seconds since 1970.
    pub modified: u64,
}

/// One path of a file system with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// The path, its owner and mode.
    pub entry: FileEntry,
    /// The SHA-256 of a file, the target of a link, empty for anything else.
    pub content: String,
}

impl Engine {
    /// Returns every path of an image, read from a container that is never started.
    pub async fn files(&self, session: &EngineSession, image: &str) -> anyhow::Result<Vec<FileEntry>> {
        self.export(session, image, read_entries).await
    }

    /// [`Engine::files`] with the content of each path.
    pub async fn contents(&self, session: &EngineSession, image: &str) -> anyhow::Result<Vec<FileContent>> {
        self.export(session, image, read_contents).await
    }

    async fn export<T: Send + 'static>(
        &self,
        session: &EngineSession,
        image: &str,
        read: impl FnOnce(ChannelReader) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let spec = ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() };
        let id = self.create(session, spec).await?;
        let read = read_archive(self.docker.export_container(&id), read).await;
        self.remove(&id).await?;
        read.with_context(|| format!("failed to read the files of {image}"))
    }
}

/// Reads an archive on a separate thread while the engine sends it.
pub(super) async fn read_archive<T: Send + 'static>(
    stream: impl Stream<Item = Result<impl AsRef<[u8]>, bollard::errors::Error>>,
    read: impl FnOnce(ChannelReader) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || read(ChannelReader::new(receiver)));
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.context("the engine stopped sending")?;
        // The reader is gone if it failed; its error is returned below.
        if sender.send(chunk.as_ref().to_vec()).await.is_err() {
            break;
        }
    }
    drop(sender);
    reader.await.context("the reader of the archive panicked")?
}

fn read_entries(archive: impl Read) -> anyhow::Result<Vec<FileEntry>> {
    tar::Archive::new(archive).entries()?.map(|entry| entry_of(&mut entry?)).collect()
}

fn read_contents(archive: impl Read) -> anyhow::Result<Vec<FileContent>> {
    let mut files: Vec<FileContent> = Vec::new();
    let mut by_path = HashMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let described = entry_of(&mut entry)?;
        let target = entry.link_name()?.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
        let content = match entry.header().entry_type() {
            tar::EntryType::Symlink => target,
            // A hard link to an earlier entry; the engine chooses which of the names comes first.
            tar::EntryType::Link => {
                let first = by_path.get(&format!("/{}", target.trim_start_matches('/')));
                let index: &usize = first.with_context(|| format!("{} links to nothing", described.path))?;
                files[*index].content.clone()
            }
            _ if described.kind == FileKind::File => sha256(&mut entry)?,
            _ => String::new(),
        };
        by_path.insert(described.path.clone(), files.len());
        files.push(FileContent { entry: described, content });
    }
    Ok(files)
}

fn sha256(file: &mut impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Describes the path of an archive's entry.
pub(super) fn entry_of(entry: &mut tar::Entry<'_, impl Read>) -> anyhow::Result<FileEntry> {
    let path = entry.path()?.to_string_lossy().trim_matches('/').to_owned();
    let capabilities = match entry.pax_extensions()? {
        Some(extensions) => {
            extensions.filter_map(Result::ok).any(|extension| extension.key() == Ok("SCHILY.xattr.security.capability"))
        }
        None => false,
    };
    let header = entry.header();
    Ok(FileEntry {
        path: format!("/{path}"),
        kind: match header.entry_type() {
            tar::EntryType::Directory => FileKind::Folder,
            tar::EntryType::Symlink => FileKind::Link,
            tar::EntryType::Regular | tar::EntryType::Link | tar::EntryType::Continuous => FileKind::File,
            _ => FileKind::Other,
        },
        uid: header.uid()?,
        gid: header.gid()?,
        mode: header.mode()? & 0o7777,
        capabilities,
        modified: header.mtime()?,
    })
}

/// The chunks that the engine has sent, as a blocking reader.
pub(super) struct ChannelReader {
    chunks: mpsc::Receiver<Vec<u8>>,
    chunk: std::io::Cursor<Vec<u8>>,
}

impl ChannelReader {
    fn new(chunks: mpsc::Receiver<Vec<u8>>) -> Self {
        ChannelReader { chunks, chunk: std::io::Cursor::default() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.chunk.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = std::io::Cursor::new(chunk),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileKind, read_contents, read_entries};

    #[test]
    fn owners_modes_and_kinds_are_read_from_an_archive() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mode(0o104_755);
        header.set_size(3);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, "bin/tool", "abc".as_bytes()).unwrap();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Directory);
        builder.append_data(&mut header, "bin/", std::io::empty()).unwrap();

        let entries = read_entries(builder.into_inner().unwrap().as_slice()).unwrap();
        assert_eq!(entries[0].path, "/bin/tool");
        assert_eq!((entries[0].uid, entries[0].gid, entries[0].mode), (1000, 1001, 0o4755));
        assert_eq!((entries[0].kind, entries[0].capabilities), (FileKind::File, false));
        assert_eq!((entries[1].path.as_str(), entries[1].kind), ("/bin", FileKind::Folder));
    }

    #[test]
    fn a_hard_link_has_the_content_of_its_file() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, "a/b", "abc".as_bytes()).unwrap();
        header.set_size(0);
        for (kind, path, target) in [(tar::EntryType::Link, "c", "a/b"), (tar::EntryType::Symlink, "d", "a/b")] {
            header.set_entry_type(kind);
            builder.append_link(&mut header, path, target).unwrap();
        }
        let files = read_contents(builder.into_inner().unwrap().as_slice()).unwrap();
        let contents: Vec<&str> = files.iter().map(|file| file.content.as_str()).collect();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(contents, [abc, abc, "a/b"]);
    }

    #[test]
    fn capabilities_are_read_from_an_archive() {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("SCHILY.xattr.security.capability", b"\x01".as_slice())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, "bin/ping", std::io::empty()).unwrap();
        assert!(read_entries(builder.into_inner().unwrap().as_slice()).unwrap()[0].capabilities);
    }
}
