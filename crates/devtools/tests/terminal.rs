//! The output on a terminal, on one without colours, on a dumb one, in CI, and into a pipe.
#![cfg(target_os = "linux")]

use std::process::Command;

/// A command that fails at once, with a coloured word.
const FAILING: &str = "language";
/// A command that shows a live line, here without an engine.
const BUSY: &str = "doctor";
const LIVE_LINE: &str = "examining this machine";
/// The beginning of every colour and cursor movement.
const ESCAPE: char = '\u{1b}';

/// Runs a command on a terminal of `script`, and returns everything that it printed.
fn on_terminal(command: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("{} {command}", env!("CARGO_BIN_EXE_devtools"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
    for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        script.env_remove(name);
    }
    script.env("DOCKER_HOST", "unix:///no/such/socket").envs(variables.iter().copied());
    let output = script.output().expect("`script`, a program of the package bsdutils, gives a terminal");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The colours of a text: `ESC [ … m`, other than the one that ends a colour.
fn colours(text: &str) -> usize {
    let codes = text.split(ESCAPE).skip(1).filter_map(|rest| rest.strip_prefix('['));
    codes.filter(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')).count()
}

#[test]
fn a_terminal_has_colours_unless_the_user_refuses_them() {
    assert!(colours(&on_terminal(FAILING, &[])) > 0);
    for refusal in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let text = on_terminal(FAILING, &[refusal]);
        assert!(text.contains("error: this command belongs to another tool"), "{text}");
        assert_eq!(colours(&text), 0, "{refusal:?}: {text:?}");
    }
}

#[test]
fn a_live_line_is_only_on_a_terminal_that_can_erase_it_and_whose_user_is_present() {
    let text = on_terminal(BUSY, &[]);
    assert!(text.contains(LIVE_LINE) && text.contains("Parts"), "{text}");
    let uncoloured = on_terminal(BUSY, &[("NO_COLOR", "1")]);
    assert!(uncoloured.contains(LIVE_LINE), "{uncoloured}");
    assert_eq!(colours(&uncoloured), 0, "{uncoloured:?}");
    for elsewhere in [("TERM", "dumb"), ("CI", "true")] {
        let text = on_terminal(BUSY, &[elsewhere]);
        assert!(!text.contains(LIVE_LINE) && text.contains("Parts"), "{elsewhere:?}: {text}");
    }
}

#[test]
fn a_pipe_gets_plain_text() {
    for command in [FAILING, BUSY] {
        let mut devtools = Command::new(env!("CARGO_BIN_EXE_devtools"));
        let output = devtools.arg(command).env("DOCKER_HOST", "unix:///no/such/socket").env("TERM", "xterm").output();
        let output = output.expect("devtools runs");
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains(ESCAPE) && !text.contains(LIVE_LINE), "{text:?}");
        }
    }
}

#[test]
fn a_reader_that_ends_early_is_no_error() {
    let line = format!("{} {BUSY} --json | true; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_devtools"));
    let bash = Command::new("bash").args(["-c", &line]).env("DOCKER_HOST", "unix:///no/such/socket").output();
    let output = bash.expect("bash runs");
    // The engine is missing.
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
