//! The first day of docs/GUIDE.md: runs its commands in a fresh clone, and compares their output with the recorded one.
//!
//! `RECORD=1 cargo xtask test -p devtools --test first_day -- --ignored` records outputs and durations in
//! docs/samples/guide; `cargo xtask docs` then puts them into the page. Without `RECORD` an output that has other words
//! than the recorded one fails the test; numbers may differ.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use serde_json::json;
use testbed::api::Api;
use testbed::workspace;

/// The stack and the image of the test, which the page calls by their default names.
const PROJECT: &str = "first-day";
const IMAGE: &str = "trm-directus:first-day";
/// The image of the day before.
const RELEASED: &str = "trm-directus:first-day-released";
const FOLDER: &str = "docs/samples/guide";
/// The developer's SQL: first an index that every later schema apply would fail on, then one as the lint asks for.
const PLAIN_INDEX: &str = "-- Finds the entries of a paddock.

CREATE INDEX IF NOT EXISTS entries_paddock ON public.entries (paddock);
";
const COMPOSITE_INDEX: &str = "-- Finds the entries of a paddock.
-- no-transaction

CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_event_paddock ON public.entries (event_id, paddock);
";

#[test]
#[ignore = "builds everything in a fresh clone, which takes minutes; the nightly workflow runs it"]
fn the_commands_of_the_guide_print_what_it_shows() {
    let mut day = Day::begin();
    day.run("doctor", &["doctor"], 0);
    day.again("doctor", &["doctor"], 0);
    let url = day.dev_reset();
    day.tag(RELEASED);
    day.click(&url);
    day.run("snapshot-check", &["snapshot", "--check"], 2);
    day.run("snapshot", &["snapshot"], 0);
    day.again("snapshot", &["snapshot"], 0);
    day.again("snapshot-check", &["snapshot", "--check"], 0);
    day.run("migration-new", &["migration", "new", "paddock_index", "--post"], 0);
    day.write_migration(PLAIN_INDEX);
    day.run("migration-lint", &["migration", "lint"], 2);
    day.write_migration(COMPOSITE_INDEX);
    day.again("migration-lint", &["migration", "lint"], 0);
    day.run("dev-reset-keep-data", &["dev-reset", "--keep-data"], 0);
    day.run("seed", &["seed"], 0);
    day.again("seed", &["seed"], 0);
    day.run("docs", &["docs", "--record=model"], 0);
    day.again("docs", &["docs", "--record=model"], 0);
    for (name, arguments, code) in [
        ("rehearse", ["rehearse", "--from", RELEASED, "--image", IMAGE], 2),
        ("verify", ["verify", "--only", "fresh-boot,warm-boot", "--image", IMAGE], 0),
    ] {
        day.run(name, &arguments, code);
        day.again(name, &arguments, code);
    }
    day.again("dev-reset-keep-data", &["dev-reset", "--keep-data"], 0);
    day.again("dev-reset", &["dev-reset", "--seed"], 0);
    day.run("down", &["down", "--volumes"], 0);
    day.end();
}

/// A clone of the checkout, and what its commands have printed so far. Dropping it removes the clone and the stack.
struct Day {
    /// Held for its end, which removes the clone.
    _folder: tempfile::TempDir,
    clone: Utf8PathBuf,
    /// True to write the outputs, false to compare them.
    records: bool,
    changed: Vec<String>,
    times: Vec<CommandTime>,
}

/// The durations of a command: of its first call in the clone, which also compiles its program, and of a later one.
struct CommandTime {
    name: &'static str,
    first: Duration,
    again: Option<Duration>,
}

impl Day {
    fn begin() -> Day {
        let folder = tempfile::tempdir().unwrap();
        let clone = Utf8PathBuf::try_from(folder.path().join("trm-directus")).unwrap();
        let mut git = Command::new("git");
        let cloned = git.args(["clone", "--quiet", workspace::root().as_str(), clone.as_str()]).status().unwrap();
        assert!(cloned.success());
        let records = std::env::var_os("RECORD").is_some();
        Day { _folder: folder, clone, records, changed: Vec::new(), times: Vec::new() }
    }

    /// Runs a command and keeps its output.
    fn run(&mut self, name: &'static str, arguments: &[&str], code: i32) -> String {
        let (text, took) = self.xtask(arguments, code);
        self.times.push(CommandTime { name, first: took, again: None });
        let shown = self.shown(arguments, &text);
        let path = workspace::path(FOLDER).join(format!("{name}.txt"));
        if self.records {
            std::fs::write(&path, shown).unwrap();
        } else if shape(&std::fs::read_to_string(&path).unwrap_or_default()) != shape(&shown) {
            self.changed.push(format!("{path}:\n{shown}"));
        }
        text
    }

    /// Runs a command again, for its duration.
    fn again(&mut self, name: &str, arguments: &[&str], code: i32) {
        let (_, took) = self.xtask(arguments, code);
        let time = self.times.iter_mut().find(|time| time.name == name).expect("it has run before");
        time.again = Some(took);
    }

    /// Resets the stack with demo data, and returns its URL.
    fn dev_reset(&mut self) -> String {
        let text = self.run("dev-reset", &["dev-reset", "--seed"], 0);
        let url = text.lines().find_map(|line| line.trim_start().strip_prefix("URL")).expect("a line with the URL");
        url.trim().to_owned()
    }

    /// Gives today's image a second name, as a release does.
    fn tag(&self, name: &str) {
        assert!(Command::new("docker").args(["tag", IMAGE, name]).status().unwrap().success());
    }

    /// Adds a field, by the request that the admin UI sends.
    fn click(&self, url: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = Api::login(url.to_owned(), "admin@example.com", "directus").await.unwrap();
            let meta = json!({ "interface": "input", "note": "Where the crew is found" });
            let field = json!({ "field": "paddock", "type": "string", "meta": meta, "schema": {} });
            api.post("/fields/entries", field).await.unwrap();
        });
    }

    /// Completes the new SQL file.
    fn write_migration(&self, sql: &str) {
        let folder = self.clone.join("db-init/post-schema");
        let mut names = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
        let path = names.find(|path| path.as_str().ends_with("_paddock_index.sql")).expect("the new file");
        std::fs::write(&path, sql).unwrap();
    }

    /// Runs xtask in the clone, and returns its output and duration.
    fn xtask(&self, arguments: &[&str], code: i32) -> (String, Duration) {
        let mut all = arguments.to_vec();
        match arguments[0] {
            "dev-reset" => all.extend(["--project", PROJECT, "--tag", IMAGE]),
            "docs" => all.extend(["--image", IMAGE]),
            "snapshot" | "seed" | "down" => all.extend(["--project", PROJECT]),
            _ => {}
        }
        let began = Instant::now();
        // One stream, so that the order of the lines is that of a terminal.
        let mut command = Command::new("sh");
        command.args(["-c", "exec cargo xtask \"$@\" 2>&1", "xtask"]).args(&all).current_dir(&self.clone);
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME");
            if is_ours || name == "RUSTUP_TOOLCHAIN" {
                command.env_remove(name);
            }
        }
        // A developer's own stack may have the ports of these variables.
        let Output { status, stdout, .. } =
            command.env("PORT_ON_HOST", "").env("DB_PORT_ON_HOST", "").output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        assert_eq!(status.code(), Some(code), "cargo xtask {}:\n{text}", arguments.join(" "));
        (text, began.elapsed())
    }

    /// The command and its output as the page shows them.
    fn shown(&self, arguments: &[&str], text: &str) -> String {
        let lines = text.lines().filter(|line| !is_noise(line)).collect::<Vec<_>>().join("\n");
        let text = format!("$ cargo xtask {}\n{}\n", arguments.join(" "), lines.trim_end());
        let names = [(RELEASED, "trm-directus:0.1.0"), (IMAGE, "trm-directus:dev"), (PROJECT, "trm-directus")];
        let text = names.iter().fold(text, |text, (name, shown)| text.replace(name, shown));
        text.replace(self.clone.as_str(), "~/trm-directus")
    }

    /// Writes the durations, and fails if an output has changed.
    fn end(self) {
        if self.records {
            let mut text = String::from("command                first   again\n");
            for CommandTime { name, first, again } in &self.times {
                let again = again.map(|again| format!("{:.1} s", again.as_secs_f64())).unwrap_or_default();
                text += format!("{name:<22} {:>6.1} s {again:>7}", first.as_secs_f64()).trim_end();
                text.push('\n');
            }
            std::fs::write(workspace::path(FOLDER).join("times.txt"), text).unwrap();
        }
        assert!(self.changed.is_empty(), "other words than recorded:\n{}", self.changed.join("\n"));
    }
}

impl Drop for Day {
    fn drop(&mut self) {
        let down = ["compose", "--file", "compose.dev.yaml", "--project-name", PROJECT, "down", "--volumes"];
        let removed = Command::new("docker").args(down).current_dir(&self.clone).output();
        if !removed.is_ok_and(|output| output.status.success()) {
            eprintln!("the stack {PROJECT} is not removed: `docker {}`", down.join(" "));
        }
    }
}

/// True for lines of builds, for commands that run below, and for warnings of stand-ins, which a machine with a registry does not have.
fn is_noise(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    ["Compiling", "Downloading", "Downloaded", "Updating", "Finished", "Locking", "Built", "Cached", "Running"]
        .contains(&first)
        || line.starts_with("warning: trm-standin/")
}

/// The words without those that differ from run to run: numbers, digests, durations.
fn shape(text: &str) -> Vec<&str> {
    text.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect()
}
