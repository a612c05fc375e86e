//! The two that are compared, and the image of the second one.

use contract::{BINARY, Event, LogLine, Phase};

use testbed::base_images::Resolved;
use testbed::cmd::Cmd;

use super::model::By;

/// The shell's last line before its `exec`.
const SHELL_READY: &str = "[entrypoint.sh] becoming the server";

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The image.
    Ours,
    /// The pipeline that it replaces.
    Shell,
}

impl Contender {
    /// Both, in the order in which they take turns.
    pub(crate) const BOTH: [Contender; 2] = [Contender::Ours, Contender::Shell];

    /// As figures call it.
    pub(crate) fn by(self) -> By {
        match self {
            Contender::Ours => By::Ours,
            Contender::Shell => By::Shell,
        }
    }

    /// Whether a line of its log says that the boot is over.
    pub(crate) fn is_ready(self, line: &str) -> bool {
        match self {
            Contender::Ours => LogLine::parse(line)
                .is_some_and(|line| line.phase == Phase::Exec && matches!(line.event, Event::Done(_))),
            Contender::Shell => line == SHELL_READY,
        }
    }

    /// The arguments with which its container boots and ends without becoming the server.
    pub(crate) fn boot_only(self) -> &'static str {
        match self {
            Contender::Ours => "boot",
            Contender::Shell => "true",
        }
    }

    /// The same as a command in a container that runs already.
    pub(crate) fn boot_command(self) -> [&'static str; 2] {
        let program = match self {
            Contender::Ours => BINARY,
            Contender::Shell => "/directus/entrypoint.sh",
        };
        [program, self.boot_only()]
    }
}

/// The command that builds the shell's image from that folder. Of a stand-in it takes psql from the database's stand-in.
pub(crate) fn build_command(folder: &str, tag: &str, label: &str, base: &Resolved, database: &Resolved) -> Cmd {
    let packages = if base.stand_in { "debian" } else { "alpine" };
    let cmd = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", tag, "--label", label])
        .args(["--file", &format!("{folder}/crates/bench/shell/Dockerfile")]);
    let arguments =
        [("DIRECTUS_IMAGE", base.name.as_str()), ("POSTGRES_IMAGE", &database.name), ("PACKAGES", packages)];
    let cmd = arguments.iter().fold(cmd, |cmd, (name, value)| cmd.args(["--build-arg", &format!("{name}={value}")]));
    // Another builder than the engine's own does not see images that are only here.
    let cmd = if base.stand_in || database.stand_in { cmd.env("BUILDX_BUILDER", "default") } else { cmd };
    cmd.arg(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::workspace;

    #[test]
    fn the_boot_is_over_with_the_last_line_before_the_server() {
        assert!(Contender::Ours.is_ready("[entrypoint] 8/8 exec: booted in 5 ms, becoming pm2-runtime (0 ms)"));
        assert!(!Contender::Ours.is_ready("[entrypoint] 7/8 post-schema: 0 applied, 2 skipped (1 ms)"));
        assert!(Contender::Shell.is_ready(SHELL_READY));
        assert!(!Contender::Shell.is_ready("[entrypoint.sh] post-schema"));
    }

    #[test]
    fn the_script_says_the_line_that_is_looked_for_right_before_it_becomes_the_server() {
        let script = std::fs::read_to_string(workspace::path("crates/bench/shell/entrypoint.sh")).unwrap();
        let said = SHELL_READY.strip_prefix("[entrypoint.sh] ").unwrap();
        assert!(script.ends_with(&format!("say '{said}'\nexec \"$@\"\n")));
    }

    #[test]
    fn a_stand_in_has_no_package_manager_of_upstreams() {
        let image = |name: &str, stand_in| Resolved { name: name.to_owned(), stand_in };
        let text = |stand_in| build_command("f", "t", "l", &image("d", stand_in), &image("p", stand_in)).to_string();
        assert!(text(true).contains("--build-arg PACKAGES=debian"), "{}", text(true));
        assert!(text(false).contains("--build-arg PACKAGES=alpine"), "{}", text(false));
    }
}
