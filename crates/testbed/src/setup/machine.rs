//! The properties of this machine that its setup depends on.

/// The properties that plans depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetupMachine {
    /// Linux: this machine builds the boot binary, not the image build.
    pub(super) linux: bool,
    /// Debian, Ubuntu or a derivative: the names of packages are known.
    pub(super) debian: bool,
    /// May install packages.
    pub(super) root: bool,
    /// Has rustup, which can add a target to the toolchain.
    pub(super) rustup: bool,
}

impl SetupMachine {
    /// Detects the properties.
    pub(super) fn detect() -> SetupMachine {
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        #[cfg(unix)]
        let root = rustix::process::geteuid().is_root();
        #[cfg(not(unix))]
        let root = false;
        SetupMachine {
            linux: cfg!(target_os = "linux"),
            debian: is_debian(&os_release),
            root,
            rustup: is_on_path("rustup"),
        }
    }
}

/// Returns the target of the static binary that this machine builds.
pub fn musl_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// Returns the name of a Chromium or Chrome on the PATH.
pub fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find(|name| is_on_path(name))
}

fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
        .any(|(_, value)| value.trim_matches('"').split(' ').any(|id| matches!(id, "debian" | "ubuntu")))
}

/// Returns true if a program is on the PATH.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|folder| folder.join(program).is_file() || folder.join(format!("{program}.exe")).is_file())
}

#[cfg(test)]
mod tests {
    use super::{is_debian, is_on_path};

    #[test]
    fn debian_ubuntu_and_their_derivatives_are_recognized() {
        assert!(is_debian("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nNAME=debian-like\n"));
    }

    #[test]
    fn programs_are_searched_on_the_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program"));
    }
}
