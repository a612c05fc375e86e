//! The acceptance gate leaves nothing behind: not when it is asked to end, and a killed run's things go with the next.
//!
//! `cargo xtask test` runs this and names an image. Any image will do: what is looked at are the network and the database
//! server that a check begins with, so it is the database's, which is there in any case.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn a_run_that_is_asked_to_end_removes_its_things_and_the_next_run_those_of_a_killed_one() {
    let asked = Run::begin();
    let status = asked.end("-TERM");
    assert_eq!(status.code(), Some(143));
    assert_eq!(asked.things(), [""; 0]);

    let killed = Run::begin();
    let status = killed.end("-KILL");
    assert_eq!(status.code(), None);
    assert_ne!(killed.things(), [""; 0], "a killed process cannot tidy up");

    let next = Run::begin();
    assert_eq!(killed.things(), [""; 0], "the next run removes what the killed one left");
    assert_eq!(next.end("-INT").code(), Some(130));
    assert_eq!(next.things(), [""; 0]);
}

/// A run of the acceptance gate, as a process of its own.
struct Run {
    child: std::cell::RefCell<Child>,
    /// What its run's id ends with.
    suffix: String,
}

impl Run {
    /// Starts one, and waits for its first container.
    fn begin() -> Run {
        let image = std::env::var("TEST_IMAGE")
            .expect("this test needs an image and leaves containers if it is killed: run it with `cargo xtask test`");
        let mut command = Command::new(env!("CARGO_BIN_EXE_acceptance"));
        command.args(["verify", "--only", "warm-boot", "--image", &image]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let suffix = format!("-{}", child.id());
        let began = Instant::now();
        while things(&["ps", "--all"], &suffix).is_empty() {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before its first container");
            assert!(began.elapsed() < PATIENCE, "it made no container");
            std::thread::sleep(Duration::from_millis(50));
        }
        Run { child: child.into(), suffix }
    }

    /// Sends it a signal and waits for its end.
    fn end(&self, signal: &str) -> ExitStatus {
        let mut child = self.child.borrow_mut();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its containers, networks and volumes.
    fn things(&self) -> Vec<String> {
        let lists: [&[&str]; 3] = [&["ps", "--all"], &["network", "ls"], &["volume", "ls"]];
        lists.iter().flat_map(|list| things(list, &self.suffix)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Asked, not killed, so that it takes its containers along when an assertion failed.
        let mut child = self.child.borrow_mut();
        if child.try_wait().unwrap().is_none() {
            drop(Command::new("kill").arg(child.id().to_string()).status());
            drop(child.wait());
        }
    }
}

/// The run ids, one for each thing that a `docker` list shows with a label that ends so.
fn things(list: &[&str], suffix: &str) -> Vec<String> {
    let arguments = [list, &["--filter", "label=trm.run", "--format", r#"{{.Label "trm.run"}}"#]].concat();
    let output = Command::new("docker").args(&arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|id| id.ends_with(suffix)).map(|id| format!("{} of {id}", list[0])).collect()
}
