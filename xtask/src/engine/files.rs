//! The files of an image: the headers of its exported file system. Nothing is unpacked and nothing of it is run.

use std::io::Read;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::{ContainerSpec, Engine};
use crate::run::Run;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A file, or another name of one.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, whose own mode says nothing.
    Link,
    /// A device, a pipe.
    Other,
}

/// One path of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// Absolute, without a slash at the end.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: FileKind,
    /// The user who owns it.
    pub(crate) uid: u64,
    /// The group that owns it.
    pub(crate) gid: u64,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Whether it gives capabilities to whoever executes it.
    pub(crate) capabilities: bool,
}

impl Engine {
    /// Every path of an image, as a container that is never started has it.
    pub(crate) async fn files(&self, run: &Run, image: &str) -> anyhow::Result<Vec<FileEntry>> {
        let spec = ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() };
        let id = self.create(run, spec).await?;
        let entries = read_archive(self.docker.export_container(&id), read_entries).await;
        self.remove(&id).await?;
        entries.with_context(|| format!("failed to read the files of {image}"))
    }
}

/// Reads an archive, on a thread of its own, while the engine sends it.
pub(super) async fn read_archive<T: Send + 'static>(
    stream: impl Stream<Item = Result<impl AsRef<[u8]>, bollard::errors::Error>>,
    read: impl FnOnce(ChannelReader) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || read(ChannelReader::new(receiver)));
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.context("the engine stopped to send")?;
        // The reader is gone when it failed; its error comes below.
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

/// What an archive says about a path.
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
    })
}

/// What the engine has sent.
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
    use super::{FileKind, read_entries};

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
    fn capabilities_are_seen() {
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
