//! The file of the metrics, which another program reads at any time.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contract::ExitCode;

use super::text::{BootEnd, BootState, render};
use crate::config::{Env, image_name};
use crate::log::Log;

/// The metrics of one boot and the file for them. Without `BOOT_METRICS_FILE` it writes nothing.
#[derive(Debug)]
pub struct MetricsFile {
    path: Option<PathBuf>,
    image: String,
    start: Duration,
    began: Instant,
    /// The file before this boot.
    earlier: String,
}

impl MetricsFile {
    /// Begins a boot: the file then contains that it runs. A file that cannot be written is reported at the end, because
    /// the first line of a log names the image.
    #[must_use]
    pub fn begin(env: &Env) -> MetricsFile {
        let path = env.plain("BOOT_METRICS_FILE").map(|value| path(value, env.plain("HOSTNAME")));
        let earlier = path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let metrics =
            MetricsFile { path, image: image_name(env).to_owned(), start: now(), began: Instant::now(), earlier };
        if let Some(path) = &metrics.path {
            drop(replace(path, &render(&metrics.state(None))));
        }
        metrics
    }

    /// Ends the boot in the log's phase. A later call replaces the end: `exec` may fail. A file that cannot be written is
    /// a warning.
    pub fn end(&self, exit: ExitCode, log: &Log) {
        let Some(path) = &self.path else { return };
        let (phase, tally) = (log.phase(), log.tally());
        tally.end_phase(phase, log.elapsed());
        let end = BootEnd { exit: exit.code(), phase, time: now(), took: self.began.elapsed(), tally };
        if let Err(error) = replace(path, &render(&self.state(Some(end)))) {
            log.warn(format!(
                "cannot write the metrics of this boot to {}: {error}; mount a folder there that the container's user may \
                 write to, or unset BOOT_METRICS_FILE",
                path.display()
            ));
        }
    }

    fn state<'a>(&'a self, end: Option<BootEnd<'a>>) -> BootState<'a> {
        let replica = self.path.as_ref().and_then(|path| path.file_stem()?.to_str()).unwrap_or_default();
        BootState { replica, image: &self.image, start: self.start, end, earlier: &self.earlier }
    }
}

/// The path of the file. A folder may be shared by replicas, so the name in it contains the host's.
fn path(value: &str, host: Option<&str>) -> PathBuf {
    let path = PathBuf::from(value);
    if value.ends_with('/') || path.is_dir() {
        path.join(format!("directus-{}.prom", host.unwrap_or("unnamed")))
    } else {
        path
    }
}

/// Replaces a file, so that a reader finds the old or the new content. Every user may read it: the exporter has its own.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Replicas that share the path do not share this name, and the exporter ignores its extension.
    let temporary = path.with_extension(format!("{}.tmp", now().as_nanos()));
    let written = fs::File::create_new(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // It does not exist if creating it failed.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// The time since the epoch.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_gets_a_file_that_is_named_after_the_host() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let value = folder.path().to_str().expect("a UTF-8 path");
        assert_eq!(path(value, Some("web-1")), folder.path().join("directus-web-1.prom"));
        assert_eq!(path("/no/such/folder/", Some("web-1")), Path::new("/no/such/folder/directus-web-1.prom"));
        assert_eq!(path("/no/such/x.prom", Some("web-1")), Path::new("/no/such/x.prom"));
    }

    #[test]
    fn file_is_replaced_whole_and_readable_for_every_user() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("x.prom");
        fs::write(&path, "old").expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        replace(&path, "new").expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "new");
        assert_eq!(fs::metadata(&path).expect("it exists").permissions().mode() & 0o777, 0o644);
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 1, "the temporary file remains");
    }

    #[test]
    fn failed_replacement_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("x.prom");
        fs::create_dir(&path).expect("writable");
        replace(&path, "new").expect_err("a folder cannot be replaced by a file");
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 1, "the temporary file remains");
    }
}
