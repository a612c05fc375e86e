//! Child processes of the tools: ending all that a child has started, and running cargo.

use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Time for a child to end when asked to, before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);

/// Asks a process group to end, waits until it has, and makes it end when it does not.
#[cfg(unix)]
pub fn end_group(leader: u32, mut leader_runs: impl FnMut() -> bool) {
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    // Each of these fails when the group is gone, which is what is wanted.
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

/// Elsewhere the child alone is ended, by `kill_on_drop`.
#[cfg(not(unix))]
pub fn end_group(_leader: u32, _leader_runs: impl FnMut() -> bool) {
    let _: (Duration, Instant) = (GRACE, Instant::now());
}

/// The cargo that runs this program, so that both use one toolchain.
#[must_use]
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The variables that `cargo run` sets for the package that it runs. They are kept from every other cargo: the build script
/// of ring asks for them, so ring would be built anew whenever `cargo xtask` and a plain `cargo` take turns.
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
    fn what_cargo_says_of_our_package_is_told_from_what_a_user_sets() {
        assert!(is_about_our_package("CARGO_PKG_VERSION_MAJOR") && is_about_our_package("CARGO_MANIFEST_DIR"));
        assert!(!is_about_our_package("CARGO_TARGET_DIR") && !is_about_our_package("CARGO_HOME"));
    }
}
