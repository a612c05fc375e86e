//! The acceptance gate removes its containers, networks and volumes: on a signal, and, after SIGKILL, in the next run.
//!
//! `cargo xtask test` runs this test and names an image. Any image will do, because only the network and the database
//! server at the start of a check matter; it is the database's image, which is always there.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn a_terminated_run_cleans_up_and_the_next_run_cleans_up_after_a_killed_one() {
    let terminated = Run::begin();
    let status = terminated.end("-TERM");
    assert_eq!(status.code(), Some(143));
    assert_eq!(terminated.leftovers(), [""; 0]);

    let killed = Run::begin();
    let status = killed.end("-KILL");
    assert_eq!(status.code(), None);
    assert_ne!(killed.leftovers(), [""; 0], "a killed process cannot clean up");

    let next = Run::begin();
    assert_eq!(killed.leftovers(), [""; 0], "the next run did not clean up after the killed one");
    assert_eq!(next.end("-INT").code(), Some(130));
    assert_eq!(next.leftovers(), [""; 0]);
}

/// A run of the acceptance gate as a child process.
struct Run {
    child: std::cell::RefCell<Child>,
    /// End of the run's id, from the process id.
    suffix: String,
}

impl Run {
    /// Starts a run and waits for its first container.
    fn begin() -> Run {
        let image = std::env::var("TEST_IMAGE")
            .expect("this test needs an image and leaves containers if it is killed: run it with `cargo xtask test`");
        let mut command = Command::new(env!("CARGO_BIN_EXE_acceptance"));
        command.args(["verify", "--only", "warm-boot", "--image", &image]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let suffix = format!("-{}", child.id());
        let began = Instant::now();
        while run_ids(&["ps", "--all"], &suffix).is_empty() {
            assert_eq!(child.try_wait().unwrap(), None, "the run ended before its first container");
            assert!(began.elapsed() < PATIENCE, "the run created no container");
            std::thread::sleep(Duration::from_millis(50));
        }
        Run { child: child.into(), suffix }
    }

    /// Sends a signal to the run and waits for its end.
    fn end(&self, signal: &str) -> ExitStatus {
        let mut child = self.child.borrow_mut();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the run does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The containers, networks and volumes of the run.
    fn leftovers(&self) -> Vec<String> {
        let lists: [&[&str]; 3] = [&["ps", "--all"], &["network", "ls"], &["volume", "ls"]];
        lists.iter().flat_map(|list| run_ids(list, &self.suffix)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Terminated and not killed, so that the run removes its containers after a failed assertion.
        let mut child = self.child.borrow_mut();
        if child.try_wait().unwrap().is_none() {
            drop(Command::new("kill").arg(child.id().to_string()).status());
            drop(child.wait());
        }
    }
}

/// The labels with this end in a list of `docker`, one for each entry.
fn run_ids(list: &[&str], suffix: &str) -> Vec<String> {
    let arguments = [list, &["--filter", "label=trm.run", "--format", r#"{{.Label "trm.run"}}"#]].concat();
    let output = Command::new("docker").args(&arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|id| id.ends_with(suffix)).map(|id| format!("{} of {id}", list[0])).collect()
}
