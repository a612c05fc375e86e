//! The file of `BOOT_METRICS_FILE` after real boots: success, failure, signals, and a place that cannot be written to.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

use common::{BootResult, Database, Image, binary, run};
use contract::metrics::METRICS;
use contract::{Event, ExitCode, LogLine, Phase};
use serde_json::json;

/// The metrics of one boot.
struct Metrics(String);

impl Metrics {
    fn read(path: &str) -> Metrics {
        Metrics(std::fs::read_to_string(path).expect("the boot has written its metrics"))
    }

    /// The value of a metric with these labels, in front of the one that all have.
    #[track_caller]
    fn value(&self, name: &str, labels: &str) -> f64 {
        let separator = if labels.is_empty() { "" } else { "," };
        let begin = format!("{name}{{{labels}{separator}replica=\"x\"}} ");
        let value = self.0.lines().find_map(|line| line.strip_prefix(&begin));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {begin}in:\n{}", self.0))
    }

    #[track_caller]
    fn assert_ended(&self, phase: &str, exit: ExitCode) {
        assert_eq!(self.value("directus_boot_running", ""), 0.0);
        assert_eq!(self.value("directus_boot_exit_code", &format!("phase=\"{phase}\"")), f64::from(exit.code()));
        let (start, end) = (
            self.value("directus_boot_start_timestamp_seconds", ""),
            self.value("directus_boot_end_timestamp_seconds", ""),
        );
        let took = self.value("directus_boot_duration_seconds", "");
        // The clock may be set while a boot runs, but hardly by this much.
        assert!(took > 0.0 && (end - start - took).abs() < 1.0, "{}", self.0);
    }
}

fn kill(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().expect("kill is there");
    assert!(sent.success());
}

#[tokio::test]
async fn successful_boots_leave_their_figures() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    let first = run(image.boot(database.url()).env("BOOT_METRICS_FILE", &path).env("BOOT_IMAGE", "1.4.0@4f2c"));
    assert_eq!(first.code, 0, "{}", first.output);
    let metrics = Metrics::read(&path);
    metrics.assert_ended("exec", ExitCode::Ok);
    assert_eq!(metrics.value("directus_boot_sql_files", "phase=\"db-init\",result=\"applied\""), 2.0);
    assert_eq!(metrics.value("directus_boot_sql_files", "phase=\"post-schema\",result=\"applied\""), 1.0);
    assert!(metrics.0.contains("{version=\"1.4.0\",revision=\"4f2c\",directus=\"0\",snapshot=\""), "{}", metrics.0);
    for metric in METRICS {
        assert!(metrics.0.contains(&format!("\n{}{{", metric.name)), "{} is missing:\n{}", metric.name, metrics.0);
    }
    // The durations are those of the log, whose milliseconds are whole.
    for line in first.output.lines().filter_map(LogLine::parse).filter(|line| line.phase != Phase::Exec) {
        if let Event::Done(took) = line.event {
            let labels = format!("phase=\"{}\"", line.phase.name());
            let seconds = metrics.value("directus_boot_phase_duration_seconds", &labels);
            assert!((seconds - took.as_secs_f64()).abs() < 0.001, "{labels}: {seconds}, and in the log {took:?}");
        }
    }

    let second = run(image.boot(database.url()).env("BOOT_METRICS_FILE", &path));
    assert_eq!(second.code, 0, "{}", second.output);
    let metrics = Metrics::read(&path);
    assert_eq!(metrics.value("directus_boot_sql_files", "phase=\"db-init\",result=\"applied\""), 0.0);
    assert_eq!(metrics.value("directus_boot_sql_files", "phase=\"db-init\",result=\"skipped\""), 2.0);
    assert_eq!(metrics.value("directus_boots_total", "exit_code=\"0\""), 2.0);
}

#[tokio::test]
async fn file_is_complete_when_the_server_starts_and_corrected_if_it_does_not() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    let mut boot = image.command(database.url(), &["start", "--", "cat", &path]);
    let output = boot.env("BOOT_METRICS_FILE", &path).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("\ndirectus_boots_total{exit_code=\"0\",replica=\"x\"} 1\n"), "{text}");

    let mut boot = image.command(database.url(), &["start", "--", "no-such-server"]);
    let ended = run(boot.env("BOOT_METRICS_FILE", &path));
    ended.assert_failed("exec", ExitCode::NotFound, &["no-such-server"]);
    let metrics = Metrics::read(&path);
    metrics.assert_ended("exec", ExitCode::NotFound);
    assert_eq!(metrics.value("directus_boots_total", "exit_code=\"0\""), 1.0);
    assert_eq!(metrics.value("directus_boots_total", "exit_code=\"127\""), 1.0);
}

#[tokio::test]
async fn failed_boot_leaves_its_phase_its_code_and_the_time_of_the_last_success() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    run(image.boot(database.url()).env("BOOT_METRICS_FILE", &path));
    let success = Metrics::read(&path).value("directus_boot_end_timestamp_seconds", "");
    image.write("db-init/003_good.sql", "select 1;\n");
    image.write("db-init/004_broken.sql", "select from from;\n");
    let ended = run(image.boot(database.url()).env("BOOT_METRICS_FILE", &path));
    ended.assert_failed("db-init", ExitCode::MigrationFailed, &["004_broken.sql"]);
    let metrics = Metrics::read(&path);
    metrics.assert_ended("db-init", ExitCode::MigrationFailed);
    assert_eq!(metrics.value("directus_boot_last_success_timestamp_seconds", ""), success);
    assert_eq!(metrics.value("directus_boot_sql_files", "phase=\"db-init\",result=\"applied\""), 1.0);
    assert!(metrics.value("directus_boot_phase_duration_seconds", "phase=\"db-init\"") > 0.0);
    assert!(!metrics.0.contains("_phase_duration_seconds{phase=\"schema\""), "{}", metrics.0);
}

#[tokio::test]
async fn migrations_of_directus_and_tries_that_failed_on_a_lock_are_counted() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    image.needs_bootstrap();
    let mut boot = image.boot(database.url());
    boot.env("BOOT_METRICS_FILE", &path).env("MIGRATION_LOCK_TIMEOUT", "1").env("MIGRATION_LOCK_TRIES", "2");
    let blocked = json!({"bootstrap": {"error": {"message": "canceling statement", "code": "55P03"}}});
    let ended = run(boot.env("BRIDGE_REPLIES", blocked.to_string()));
    ended.assert_failed("bootstrap", ExitCode::MigrationBlocked, &[]);
    let metrics = Metrics::read(&path);
    metrics.assert_ended("bootstrap", ExitCode::MigrationBlocked);
    assert_eq!(metrics.value("directus_boot_lock_retries", ""), 1.0);
    assert_eq!(metrics.value("directus_boot_system_migrations", ""), 0.0);

    let migrated = json!({"bootstrap": {"ok": {"installed": false, "migrated": 1, "admin": "present"}}});
    let ended = run(boot.env("BRIDGE_REPLIES", migrated.to_string()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    let metrics = Metrics::read(&path);
    assert_eq!(metrics.value("directus_boot_lock_retries", ""), 0.0);
    assert_eq!(metrics.value("directus_boot_system_migrations", ""), 1.0);
}

#[tokio::test]
async fn changes_that_wait_for_servers_of_other_images_are_counted_until_contract_makes_them() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    run(&mut image.boot(database.url()));
    let server = database.connect().await;
    server.execute("select pg_advisory_lock_shared($1, 7)", &[&contract::SERVER_LOCK]).await.expect("shared");
    image.write("db-init/post-schema/002_speed.sql", "-- destroys: column laps.speed\nalter table laps drop speed;\n");
    let waiting = async |subcommand, code| {
        let ended = run(image.command(database.url(), &[subcommand]).env("BOOT_METRICS_FILE", &path));
        assert_eq!(ended.code, code, "{}", ended.output);
        Metrics::read(&path).value("directus_boot_waiting_changes", "")
    };
    assert_eq!(waiting("boot", 0).await, 1.0);
    assert_eq!(waiting("contract", ExitCode::STOP_FIRST.code().into()).await, 1.0);
    server.batch_execute("select pg_advisory_unlock_all()").await.expect("it answers");
    assert_eq!(waiting("contract", 0).await, 0.0);
}

#[test]
fn wait_for_a_database_that_does_not_answer_is_measured() {
    let image = Image::new();
    let path = image.path("x.prom");
    let mut boot = image.boot("postgres://u:hunter2@no-such-host.invalid/d");
    let ended = run(boot.env("BOOT_DATABASE_TIMEOUT", "1").env("BOOT_METRICS_FILE", &path));
    ended.assert_failed("database", ExitCode::DatabaseUnreachable, &[]);
    let metrics = Metrics::read(&path);
    metrics.assert_ended("database", ExitCode::DatabaseUnreachable);
    assert!(metrics.value("directus_boot_wait_seconds", "resource=\"database\"") >= 1.0, "{}", metrics.0);
    assert!(!metrics.0.contains("hunter2"), "{}", metrics.0);
}

#[test]
fn invalid_variables_are_a_failed_boot_too() {
    let image = Image::new();
    let path = image.path("x.prom");
    let ended = run(binary().arg("boot").env("BOOT_METRICS_FILE", &path));
    ended.assert_failed("config", ExitCode::Config, &["DB_CLIENT is not set"]);
    Metrics::read(&path).assert_ended("config", ExitCode::Config);
}

#[tokio::test]
async fn signal_ends_the_figures_and_sigkill_leaves_a_running_boot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let path = image.path("x.prom");
    let holder = database.connect().await;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await.expect("free");
    for (signal, exit) in [("TERM", Some(ExitCode::Terminated)), ("INT", Some(ExitCode::Interrupted)), ("KILL", None)] {
        let mut boot = image.boot(database.url());
        let mut boot = boot.env("BOOT_METRICS_FILE", &path).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut log = BufReader::new(boot.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("waiting for") {
            line.clear();
            assert!(log.read_line(&mut line).expect("UTF-8") > 0, "the boot did not wait");
        }
        let running = Metrics::read(&path);
        assert_eq!(running.value("directus_boot_running", ""), 1.0);
        kill(signal, boot.id());
        match exit {
            Some(exit) => {
                let mut stdout = Vec::new();
                log.read_to_end(&mut stdout).expect("a pipe");
                let status = boot.wait().expect("it ends");
                let ended = BootResult::of(Output { status, stdout, stderr: Vec::new() });
                ended.assert_failed("lock", exit, &[]);
                let metrics = Metrics::read(&path);
                metrics.assert_ended("lock", exit);
                assert!(metrics.value("directus_boot_wait_seconds", "resource=\"lock\"") > 0.0);
            }
            None => {
                boot.wait().expect("it ends");
                let metrics = Metrics::read(&path);
                assert_eq!(metrics.value("directus_boot_running", ""), 1.0);
                // The figures of the boot before it.
                assert_eq!(metrics.value("directus_boots_total", "exit_code=\"130\""), 1.0);
            }
        }
        // PostgreSQL notices the end of the session a moment later.
        let ends = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()";
        while holder.query_one(ends, &[]).await.expect("it answers").get::<_, i64>(0) > 0 {}
    }
}

#[tokio::test]
async fn place_that_cannot_be_written_to_is_one_warning_and_fails_no_boot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    // The kernel's own folder refuses new files from every user.
    for (path, reason) in [("/proc/x.prom", "(os error "), (&image.path("no/such/folder/x.prom"), "No such file")] {
        let ended = run(image.boot(database.url()).env("BOOT_METRICS_FILE", path));
        assert_eq!(ended.code, 0, "{}", ended.output);
        let warnings: Vec<&str> =
            ended.output.lines().filter(|line| line.contains("cannot write the metrics")).collect();
        let [warning] = warnings[..] else { panic!("{}", ended.output) };
        assert!(warning.contains(path) && warning.contains(reason), "{warning}");
        assert!(warning.contains("unset BOOT_METRICS_FILE"), "{warning}");
    }
}

#[test]
fn nothing_is_written_without_the_variable_or_for_another_command() {
    let image = Image::new();
    let path = image.path("x.prom");
    run(binary().arg("boot"));
    let mut status = image.command("postgres://u:p@127.0.0.1:1/d", &["status"]);
    let output = status.env("BOOT_METRICS_FILE", &path).env("BOOT_DATABASE_TIMEOUT", "1").output().expect("it runs");
    assert_eq!(output.status.code(), Some(20));
    assert!(!std::path::Path::new(&path).exists());
}
