//! Child processes in the foreground: a signal to xtask ends them with their process group.

use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::Context as _;

use crate::workspace;

/// The process group of the running child; 0 without one.
static GROUP: AtomicU32 = AtomicU32::new(0);
/// Set once a signal ends xtask: no further child may start.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C, SIGTERM and SIGHUP end the running child and then xtask. Call it only once.
#[cfg(unix)]
pub(crate) fn end_child_on_signal() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("failed to listen for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            ENDING.store(true, Ordering::SeqCst);
            // The main thread waits for the child.
            child::end_group(GROUP.load(Ordering::SeqCst), || false);
            eprintln!("error: ended by {}", signal_hook::low_level::signal_name(signal).unwrap_or("a signal"));
            // A shell's convention for a process that a signal ended.
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// On other systems Ctrl-C also reaches the child.
#[cfg(not(unix))]
pub(crate) fn end_child_on_signal() -> anyhow::Result<()> {
    Ok(())
}

/// Runs a program in the workspace's folder with its output shown, and returns true if it succeeds.
pub(crate) fn succeeds(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> anyhow::Result<bool> {
    let program = program.as_ref();
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let name = std::path::Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    eprintln!("{:>12} {name} {}", "Running", words.join(" "));

    leave_it_to_the_signal();
    let mut command = duct::cmd(program, &arguments).dir(workspace::root()).stdin_null().unchecked();
    for name in child::variables_of_our_package() {
        command = command.env_remove(name);
    }
    let handle = command
        .before_spawn(lead_a_group)
        .start()
        .with_context(|| format!("failed to run {name}; `cargo xtask doctor` lists the programs that are missing"))?;
    GROUP.store(handle.pids().first().copied().unwrap_or(0), Ordering::SeqCst);
    let output = handle.wait().with_context(|| format!("failed to wait for {name}"))?;
    leave_it_to_the_signal();
    GROUP.store(0, Ordering::SeqCst);
    Ok(output.status.success())
}

/// Waits forever if a signal ends xtask: its thread ends the process.
fn leave_it_to_the_signal() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
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

#[cfg(test)]
mod tests {
    use super::succeeds;

    #[test]
    fn a_missing_program_is_an_error_and_a_failing_one_is_not() {
        assert!(succeeds("true", [""; 0]).unwrap());
        assert!(!succeeds("false", [""; 0]).unwrap());
        assert!(succeeds("no-such-program", [""; 0]).unwrap_err().to_string().contains("no-such-program"));
    }
}
