//! The two contenders, and the image of the shell pipeline.

use contract::{BINARY, Event, LogLine, Phase};

use testbed::base_images::Resolved;
use testbed::cmd::Cmd;

use super::model::Subject;

/// Last line of the shell before its `exec`.
const SHELL_READY: &str = "[entrypoint.sh] becoming the server";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Ours,
    /// The pipeline that our image replaces.
    Shell,
}

impl Contender {
    /// Both contenders, in the order of their turns.
    pub(crate) const BOTH: [Contender; 2] = [Contender::Ours, Contender::Shell];

    pub(crate) fn subject(self) -> Subject {
        match self {
            Contender::Ours => Subject::Ours,
            Contender::Shell => Subject::Shell,
        }
    }

    /// Returns true for the line of the log that ends the boot.
    pub(crate) fn is_ready(self, line: &str) -> bool {
        match self {
            Contender::Ours => LogLine::parse(line)
                .is_some_and(|line| line.phase == Phase::Exec && matches!(line.event, Event::Done(_))),
            Contender::Shell => line == SHELL_READY,
        }
    }

    /// Returns the argument with which the container boots and then ends instead of starting the server.
    pub(crate) fn boot_only(self) -> &'static str {
        match self {
            Contender::Ours => "boot",
            Contender::Shell => "true",
        }
    }

    /// Returns the same as a command for a running container.
    pub(crate) fn boot_command(self) -> [&'static str; 2] {
        let program = match self {
            Contender::Ours => BINARY,
            Contender::Shell => "/directus/entrypoint.sh",
        };
        [program, self.boot_only()]
    }
}

/// Returns the command that builds the shell's image from a folder. On a stand-in, psql is copied from `postgres`.
pub(crate) fn build_command(folder: &str, tag: &str, label: &str, base: &Resolved, postgres: &Resolved) -> Cmd {
    let packages = if base.stand_in { "debian" } else { "alpine" };
    let cmd = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", tag, "--label", label])
        .args(["--file", &format!("{folder}/crates/bench/shell/Dockerfile")]);
    let arguments =
        [("DIRECTUS_IMAGE", base.name.as_str()), ("POSTGRES_IMAGE", &postgres.name), ("PACKAGES", packages)];
    let cmd = arguments.iter().fold(cmd, |cmd, (name, value)| cmd.args(["--build-arg", &format!("{name}={value}")]));
    // Only the engine's own builder can use local images.
    let cmd = if base.stand_in || postgres.stand_in { cmd.env("BUILDX_BUILDER", "default") } else { cmd };
    cmd.arg(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::workspace;

    #[test]
    fn the_last_line_before_the_server_ends_the_boot() {
        assert!(Contender::Ours.is_ready("[entrypoint] 8/8 exec: booted in 5 ms, becoming pm2-runtime (0 ms)"));
        assert!(!Contender::Ours.is_ready("[entrypoint] 7/8 post-schema: 0 applied, 2 skipped (1 ms)"));
        assert!(Contender::Shell.is_ready(SHELL_READY));
        assert!(!Contender::Shell.is_ready("[entrypoint.sh] post-schema"));
    }

    #[test]
    fn the_script_logs_the_ready_line_immediately_before_exec() {
        let script = std::fs::read_to_string(workspace::path("crates/bench/shell/entrypoint.sh")).unwrap();
        let text = SHELL_READY.strip_prefix("[entrypoint.sh] ").unwrap();
        assert!(script.ends_with(&format!("log '{text}'\nexec \"$@\"\n")));
    }

    #[test]
    fn packages_come_from_debian_on_a_stand_in_and_from_alpine_on_upstream() {
        for (stand_in, packages) in [(true, "debian"), (false, "alpine")] {
            let [base, database] = ["d", "p"].map(|name| Resolved { name: name.to_owned(), stand_in });
            let text = build_command("f", "t", "l", &base, &database).to_string();
            assert!(text.contains(&format!("--build-arg PACKAGES={packages}")), "{text}");
        }
    }
}
