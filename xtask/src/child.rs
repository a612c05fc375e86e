//! Child processes that a signal to xtask ends, with all that they have started.

use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::workspace;

/// Time for a child to end when asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// Interval at which it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);
/// The process group of the running child; 0 if there is none.
static GROUP: AtomicU32 = AtomicU32::new(0);

/// Ends the running child, and then xtask, on Ctrl-C, SIGTERM and SIGHUP. To be called once.
pub(crate) fn end_with_us() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        end_group(GROUP.load(Ordering::SeqCst));
        eprintln!("error: ended by a signal");
        std::process::exit(130);
    })
    .context("failed to listen for signals")
}

/// Runs a program in the workspace's folder with its output shown, and returns whether it succeeded.
///
/// Cargo's variables about xtask's own package are kept from it: the build script of ring asks for these variables,
/// so ring would be built anew whenever `cargo xtask` and a plain `cargo` take turns.
pub(crate) fn succeeds(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> anyhow::Result<bool> {
    let program = program.as_ref();
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let name = std::path::Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    eprintln!("{:>12} {name} {}", "Running", words.join(" "));

    let mut child = duct::cmd(program, &arguments).dir(workspace::root()).stdin_null().unchecked();
    for name in variables_of_our_package() {
        child = child.env_remove(name);
    }
    let handle = child.before_spawn(lead_a_group).start().with_context(|| format!("failed to run {name}"))?;
    GROUP.store(handle.pids().first().copied().unwrap_or(0), Ordering::SeqCst);
    let output = handle.wait().with_context(|| format!("failed to wait for {name}"))?;
    GROUP.store(0, Ordering::SeqCst);
    Ok(output.status.success())
}

/// The cargo that runs xtask, so that both use one toolchain.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The variables that `cargo run` sets for the package that it runs.
pub(crate) fn variables_of_our_package() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_about_our_package))
}

fn is_about_our_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

#[cfg(unix)]
fn lead_a_group(command: &mut std::process::Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;

    command.process_group(0);
    Ok(())
}

#[cfg(not(unix))]
fn lead_a_group(_command: &mut std::process::Command) -> std::io::Result<()> {
    Ok(())
}

/// Asks a process group to end, waits until it has, and makes it end when it does not.
#[cfg(unix)]
fn end_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    // Each of these fails when the group is gone, which is what is wanted.
    kill_process_group(group, Signal::TERM).ok();
    let deadline = Instant::now() + GRACE;
    while test_kill_process_group(group).is_ok() {
        if Instant::now() > deadline {
            kill_process_group(group, Signal::KILL).ok();
            return;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(not(unix))]
fn end_group(_leader: u32) {
    let _: (Duration, Duration, Instant) = (GRACE, POLL, Instant::now());
}

#[cfg(test)]
mod tests {
    use super::{is_about_our_package, succeeds};

    #[test]
    fn a_child_that_fails_is_no_error_and_one_that_is_not_there_is() {
        assert!(succeeds("true", [""; 0]).unwrap());
        assert!(!succeeds("false", [""; 0]).unwrap());
        assert!(succeeds("no-such-program", [""; 0]).unwrap_err().to_string().contains("no-such-program"));
    }

    #[test]
    fn variables_about_our_package_are_told_from_those_that_a_user_sets() {
        assert!(is_about_our_package("CARGO_PKG_VERSION_MAJOR") && is_about_our_package("CARGO_MANIFEST_DIR"));
        assert!(!is_about_our_package("CARGO_TARGET_DIR") && !is_about_our_package("CARGO_HOME"));
    }
}
