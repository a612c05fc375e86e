//! The boot binary of the image: parses the command line, dispatches, and maps results to exit codes.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use contract::{self, Phase};
use entrypoint::boot::exec::{exec, pm2_home, server_command};
use entrypoint::boot::{DesiredState, boot, read_desired_state};
use entrypoint::cli::{self, Command};
use entrypoint::config::{Env, image_name, log_style, redactor};
use entrypoint::directus::SnapshotFile;
use entrypoint::error::BootError;
use entrypoint::healthcheck::{self, Probe};
use entrypoint::log::Log;
use entrypoint::metrics::MetricsFile;
use entrypoint::migrations::Manifest;
use entrypoint::report::{Report, report};
use entrypoint::signals::Signals;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Start(server)) => start(AfterBoot::Serve(server)),
        Ok(Command::Boot) => start(AfterBoot::Exit),
        Ok(Command::Contract) => start(AfterBoot::NothingWaits),
        Ok(Command::Report(kind, format)) => print_report(async move |env, log| report(kind, format, env, log).await),
        Ok(Command::Rehearse(format, limit)) => {
            print_report(async move |env, log| entrypoint::report::rehearsal(format, env, limit, log).await)
        }
        Ok(Command::Attic(request)) => print_report(async move |env, log| {
            let text = entrypoint::attic::run(&request, env, log).await?;
            Ok(Report { text, exit: contract::ExitCode::Ok })
        }),
        Ok(Command::ConvertSnapshot(path)) => convert_snapshot(&path),
        Ok(Command::Manifest) => manifest(),
        Ok(Command::Healthcheck(probe)) => match check_health(probe) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                println!("{reason}");
                contract::ExitCode::Unhealthy.into()
            }
        },
        Ok(Command::Help) => {
            print!("{}", cli::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            let image = std::env::var("BOOT_IMAGE").unwrap_or_else(|_| "no image".to_owned());
            println!("entrypoint {} in {image}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Command::Exec(command)) => {
            let error = exec(&command, []);
            eprintln!("{} {error}", contract::PREFIX);
            error.exit_code().into()
        }
        Err(complaint) => {
            eprintln!("{} {complaint}\n\n{}", contract::PREFIX, cli::HELP);
            contract::ExitCode::Usage.into()
        }
    }
}

/// The last phase of a boot.
enum AfterBoot {
    /// Execute this server; upstream's if empty.
    Serve(Vec<OsString>),
    /// Exit with 0 (`boot`).
    Exit,
    /// Exit with 0 unless work waits for servers of other images (`contract`).
    NothingWaits,
}

/// The log, before the configuration is read.
fn log(env: &Env) -> Log {
    let hostname = env.plain("HOSTNAME").unwrap_or_default().to_owned();
    let origin = contract::LogOrigin { hostname, image: image_name(env).to_owned() };
    Log::with_redactor(redactor(env), log_style(env)).with_origin(origin)
}

/// Boots, then executes the server or exits.
fn start(then: AfterBoot) -> ExitCode {
    let env = Env::of_process();
    let log = log(&env);
    let metrics = MetricsFile::begin(&env);
    match boot_and_serve(&env, then, &log, &metrics) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            metrics.end(error.exit_code(), &log);
            failed(&error, &log)
        }
    }
}

/// `healthcheck`: returns the reason why the answer is no.
fn check_health(probe: Probe) -> Result<(), String> {
    let env = Env::of_process();
    healthcheck::check_server(probe, &env)?;
    match probe {
        Probe::Live | Probe::Startup => Ok(()),
        Probe::Ready => {
            let runtime = runtime().map_err(|error| error.to_string())?;
            runtime.block_on(healthcheck::check_database(&env))
        }
    }
}

/// `manifest`: checks the SQL files, and writes their manifest and the digest of the snapshot into the image. A missing
/// or invalid snapshot gets none; the boot reports it.
fn manifest() -> ExitCode {
    let env = Env::of_process();
    let path = |variable: &str, default: &'static str| Path::new(env.plain(variable).unwrap_or(default));
    if let Err(problems) = Manifest::write(path("BOOT_DB_INIT_DIR", contract::DB_INIT_DIR)) {
        for problem in problems.0 {
            eprintln!("{} {problem}", contract::PREFIX);
        }
        return contract::ExitCode::MigrationsInvalid.into();
    }
    if let Ok(snapshot) = SnapshotFile::read(path("BOOT_SNAPSHOT_FILE", contract::SNAPSHOT_FILE))
        && let Err(error) = snapshot.record()
    {
        eprintln!("{} cannot record the digest of {}: {error}", contract::PREFIX, snapshot.path.display());
        return contract::ExitCode::SnapshotInvalid.into();
    }
    ExitCode::SUCCESS
}

/// Prints a report to standard output, and the log to standard error.
fn print_report(report: impl AsyncFnOnce(&Env, &Log) -> Result<Report, BootError>) -> ExitCode {
    let env = Env::of_process();
    let log = log(&env).to_stderr();
    match runtime().and_then(|runtime| runtime.block_on(report(&env, &log))) {
        Ok(Report { text, exit }) => {
            println!("{text}");
            exit.into()
        }
        Err(error) => failed(&error, &log),
    }
}

/// `snapshot --convert`: executes the script, which needs neither a database nor variables.
fn convert_snapshot(path: &OsStr) -> ExitCode {
    let env = Env::of_process();
    let scripts = Path::new(env.plain("BOOT_SCRIPTS_DIR").unwrap_or(contract::SCRIPTS_DIR));
    let command = [OsString::from("node"), scripts.join("convert.mjs").into(), path.to_owned()];
    let error = exec(&command, []);
    eprintln!("{} {error}", contract::PREFIX);
    error.exit_code().into()
}

/// Writes the last line of the log and returns the exit code.
fn failed(error: &BootError, log: &Log) -> ExitCode {
    let exit = error.exit_code();
    for line in error.lines() {
        log.note(line);
    }
    log.failed(exit.code(), error.to_string());
    exit.into()
}

fn runtime() -> Result<tokio::runtime::Runtime, BootError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| BootError::System { what: "cannot start the runtime", source })
}

fn boot_and_serve(env: &Env, then: AfterBoot, log: &Log, metrics: &MetricsFile) -> Result<(), BootError> {
    let began = Instant::now();
    let runtime = runtime()?;
    let (desired, waiting) = runtime.block_on(async {
        let mut signals =
            Signals::install().map_err(|source| BootError::System { what: "cannot handle signals", source })?;
        let desired = read_desired_state(env, log)?;
        let waiting = tokio::select! {
            // Dropping the boot's future kills its Node process and closes its connection.
            biased;
            signal = signals.received() => return Err(BootError::Shutdown(signal)),
            result = boot(&desired, log) => result?,
        };
        // A signal during the very last step must not be lost at the exec.
        match tokio::time::timeout(Duration::ZERO, signals.received()).await {
            Ok(signal) => Err(BootError::Shutdown(signal)),
            Err(_) => Ok((desired, waiting)),
        }
    })?;
    drop(runtime);
    log.begin(Phase::Exec);
    match then {
        AfterBoot::Serve(server) => Err(become_server(server, &desired, env, log, began, metrics)),
        AfterBoot::NothingWaits if !waiting.work.is_empty() => Err(BootError::Waiting(waiting)),
        AfterBoot::Exit | AfterBoot::NothingWaits => {
            metrics.end(contract::ExitCode::Ok, log);
            log.done(format!("booted in {} ms, exiting", began.elapsed().as_millis()));
            Ok(())
        }
    }
}

/// Phase 8. Returns only on failure.
fn become_server(
    server: Vec<OsString>,
    desired: &DesiredState,
    env: &Env,
    log: &Log,
    began: Instant,
    metrics: &MetricsFile,
) -> BootError {
    let mut variables = desired.server_variables();
    let server = if server.is_empty() {
        match pm2_home(env) {
            Ok(None) => {}
            Ok(Some(folder)) => {
                variables.insert("PM2_HOME", Some(folder.display().to_string()));
            }
            Err(error) => return error.into(),
        }
        server_command(&desired.config.paths.scripts)
    } else {
        server
    };
    metrics.end(contract::ExitCode::Ok, log);
    log.done(format!("booted in {} ms, becoming {}", began.elapsed().as_millis(), server[0].display()));
    exec(&server, variables.iter().map(|(name, value)| (*name, value.as_deref().map(OsStr::new)))).into()
}
