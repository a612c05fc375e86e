//! `completions`: the words after `cargo xtask` in a shell.
//!
//! `cargo xtask` is an alias of cargo, so a shell completes it by its completion of cargo. The script has the completion
//! of a program `xtask`, which clap writes, and puts a function before that of cargo: it passes on everything but the
//! words after `cargo xtask`.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use grammar::{CompletionShell, CompletionsFlags, Xtask};

/// The name of the program in the script of clap.
const NAME: &str = "xtask";

/// Runs `completions`.
pub(crate) fn run(flags: &CompletionsFlags) -> anyhow::Result<ExitCode> {
    print!("{}", script(flags.shell));
    Ok(ExitCode::SUCCESS)
}

fn script(shell: CompletionShell) -> String {
    let (clap_shell, for_cargo) = match shell {
        CompletionShell::Bash => (Shell::Bash, include_str!("cargo.bash")),
        CompletionShell::Zsh => (Shell::Zsh, include_str!("cargo.zsh")),
        CompletionShell::Fish => (Shell::Fish, include_str!("cargo.fish")),
    };
    let mut script = Vec::new();
    generate(clap_shell, &mut Xtask::command(), NAME, &mut script);
    format!("{}\n{for_cargo}", String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use grammar::CompletionShell;

    use super::script;

    /// Completes a command line in bash, as its key for completion does, and returns the proposed words.
    fn complete(line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let [.., before, last] = words.as_slice() else { panic!("{line} has one word") };
        let test = format!(
            "other() {{ COMPREPLY=(of-cargo); }}\ncomplete -F other cargo\n{}\n{}\n\
             COMP_WORDS=({line}{}); COMP_CWORD={}\n\
             function=$(complete -p cargo | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n\
             $function cargo '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            script(CompletionShell::Bash),
            // A second time, as when ~/.bashrc is read again.
            script(CompletionShell::Bash),
            if last.is_empty() { "''" } else { "" },
            words.len() - 1,
        );
        let bash = Command::new("bash").args(["--norc", "-c", &test]).stderr(Stdio::inherit()).output();
        let output = bash.expect("bash runs").stdout;
        String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_and_their_options_are_completed_after_cargo_xtask() {
        assert_eq!(complete("cargo xtask dev"), ["dev-reset"]);
        assert_eq!(complete("cargo xtask down --vol"), ["--volumes"]);
        assert_eq!(complete("cargo xtask image --variant "), ["slim", "full"]);
        assert!(complete("cargo xtask ").contains(&"doctor".to_owned()));
    }

    #[test]
    fn everything_else_is_left_to_the_completion_of_cargo() {
        for line in ["cargo ", "cargo xt", "cargo build --re", "cargo test xtask"] {
            assert_eq!(complete(line), ["of-cargo"], "{line}");
        }
    }
}
