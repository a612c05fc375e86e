//! Child processes of the tools: ending process groups, and running cargo.

use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Time between SIGTERM and SIGKILL for a child that does not end.
pub const GRACE: Duration = Duration::from_secs(10);

/// Sends SIGTERM to a process group, waits until it has ended, and sends SIGKILL after [`GRACE`]. `leader_runs` waits for
/// the leader without blocking.
#[cfg(unix)]
pub fn end_group(leader: u32, mut leader_runs: impl FnMut() -> bool) {
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    // Both signals fail once the group is gone, as intended.
    kill_process_group(group, Signal::TERM).ok();
    let deadline = Instant::now() + GRACE;
    // The leader must be waited for, else it stays in the group as a zombie.
    while leader_runs() || test_kill_process_group(group).is_ok() {
        if Instant::now() > deadline {
            kill_process_group(group, Signal::KILL).ok();
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// On other systems `kill_on_drop` ends the child alone.
#[cfg(not(unix))]
pub fn end_group(_leader: u32, _leader_runs: impl FnMut() -> bool) {
    let _: (Duration, Instant) = (GRACE, Instant::now());
}

/// Returns the cargo that runs this program, so that both use the same toolchain.
#[must_use]
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the variables that `cargo run` sets for the package that it runs. They are removed for every other cargo: the
/// build script of ring reads them, so alternating `cargo xtask` and plain `cargo` would rebuild ring each time.
pub fn variables_of_our_package() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_about_our_package))
}

fn is_about_our_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

#[cfg(test)]
mod tests {
    use super::is_about_our_package;

    #[test]
    fn only_cargos_variables_of_the_package_are_matched() {
        assert!(is_about_our_package("CARGO_PKG_VERSION_MAJOR") && is_about_our_package("CARGO_MANIFEST_DIR"));
        assert!(!is_about_our_package("CARGO_TARGET_DIR") && !is_about_our_package("CARGO_HOME"));
    }
}
