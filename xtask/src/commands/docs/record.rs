//! Records the sample logs: boots the image in the situations of [`SCENARIOS`] and keeps what it prints.
//!
//! Everything runs in containers of one network, by docker's command line, and is removed at the end. The samples of a
//! machine without a container registry come from stand-ins; docs/samples/README.md names what ran.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use contract::{DB_INIT_DIR, Event, LogLine, Phase, SNAPSHOT_FILE};
use grammar::DocsRecord;
use xshell::{Shell, cmd};

use super::samples::FOLDER;
use super::scenarios::{FileEdit, KeptLines, Meanwhile, SCENARIOS, SampleAction, SampleScenario, Start};
use crate::workspace;

/// The objects of the SQL files in the database of a boot, and the query that lists them.
const OBJECTS: &str = "docs/samples/objects.tsv";
const OBJECTS_QUERY: &str = "crates/schema-docs/src/objects.sql";
const POSTGRES: &str = "timescale/timescaledb-ha:pg16.6-ts2.17.2-all";
const POOLER: &str = "edoburu/pgbouncer:v1.23.1-p2";
const POOLER_STAND_IN: &str = "trm-standin/pgbouncer:v1.23.1-p2";
const PASSWORD: &str = "samples-only";
const STATE: &str = "{{.State.ExitCode}}";
const ENGINE: &str = "{{.Server.Version}}";
/// True while a session sleeps.
const SLEEPS: &str = "select count(*) > 0 from pg_stat_activity where wait_event = 'PgSleep'";
const END_SLEEPERS: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'PgSleep'";
/// Time for a container or session to reach the state that a scenario waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records the objects of the SQL files and every sample log, or with `check` compares them with the recorded ones and
/// writes nothing.
pub(super) fn record_samples(image: &str, part: DocsRecord, check: bool) -> anyhow::Result<()> {
    let shell = Shell::new().context("there is no current folder")?;
    let recorder = Recorder::start(&shell, image)?;
    let mut changed = Vec::new();
    eprintln!("{:>12} the objects of the SQL files", "Recording");
    let objects = recorder.objects()?;
    let path = workspace::path(OBJECTS);
    if !check {
        std::fs::write(&path, objects).with_context(|| format!("failed to write {path}"))?;
    } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&objects) {
        changed.push(format!("{OBJECTS}:\n{objects}"));
    }
    let scenarios = if part == DocsRecord::All { SCENARIOS } else { &[] };
    for scenario in scenarios {
        eprintln!("{:>12} {}", "Recording", scenario.name);
        let log = match recorder.play(scenario) {
            Ok(Some(log)) => log,
            Ok(None) => {
                eprintln!("{:>12} {}: {POOLER} is not on this machine", "Skipped", scenario.name);
                continue;
            }
            Err(error) => {
                changed.push(format!("{}: {error:#}", scenario.name));
                continue;
            }
        };
        let path = workspace::path(FOLDER).join(format!("{}.log", scenario.name));
        if !check {
            std::fs::write(&path, log).with_context(|| format!("failed to write {path}"))?;
        } else if std::fs::read_to_string(&path).ok().map(|old| shape(&old)) != Some(shape(&log)) {
            changed.push(format!("{}:\n{log}", scenario.name));
        }
    }
    let again = if part == DocsRecord::All { "docs --record" } else { "docs --record=model" };
    ensure!(changed.is_empty(), "samples have changed, and `cargo xtask {again}` writes them:\n{}", changed.join("\n"));
    if !check && part == DocsRecord::All {
        let path = workspace::path(FOLDER).join("README.md");
        std::fs::write(&path, recorder.describe()?).with_context(|| format!("failed to write {path}"))?;
    }
    Ok(())
}

/// A text without what differs from run to run and from server to server: notes, numbers, digests, times.
fn shape(text: &str) -> String {
    let is_note = |line: &&str| LogLine::parse(line).is_some_and(|line| line.event == Event::Note);
    let words = text.lines().filter(|line| !is_note(line)).flat_map(str::split_whitespace);
    words.filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join(" ")
}

/// Set once a signal ends the recording.
static ENDED: AtomicBool = AtomicBool::new(false);

/// The network, the database server and the name of the image; removed when it is dropped.
struct Recorder<'a> {
    shell: &'a Shell,
    image: &'a str,
    /// The network's name and the prefix of all containers.
    id: String,
    pooler: Option<String>,
    /// Session options by which the SQL files do without the extensions that the server does not offer.
    options: String,
}

impl<'a> Recorder<'a> {
    /// Starts the database server, and boots the image once on the database `booted`.
    fn start(shell: &'a Shell, image: &'a str) -> anyhow::Result<Recorder<'a>> {
        // The form that the tools know: the next run of one of them removes what a killed recording left.
        let host = cmd!(shell, "uname -n").quiet().read()?.to_ascii_lowercase();
        let host: String = host.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
        let id = format!("trm-run-samples-{host}-{}", std::process::id());
        remove_on_signal(id.clone())?;
        let postgres = database(shell)
            .with_context(|| format!("{POSTGRES} is not on this machine: `cargo xtask setup --yes` gets it"))?;
        let pooler = local(shell, POOLER, POOLER_STAND_IN);
        let mut recorder = Recorder { shell, image, id, pooler, options: String::new() };
        let id = &recorder.id;
        cmd!(shell, "docker network create --label trm.run={id} {id}").quiet().ignore_stdout().run()?;
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        cmd!(
            shell,
            "docker run --detach --name {id}-db --label trm.run={id} --network {id} --network-alias db --tmpfs /small:size=16m --env POSTGRES_USER=directus --env {password} {postgres}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
        wait_until(|| recorder.sql("postgres", "select true").is_ok())?;
        cmd!(shell, "docker exec --user 0 {id}-db chown postgres /small").quiet().run()?;
        recorder.sql("postgres", "create tablespace small location '/small'")?;
        recorder.options = recorder.session_options()?;
        recorder.sql("postgres", "create database booted template template0")?;
        let booted = SampleScenario { name: "booted", start: Start::Empty, ..SampleScenario::NONE };
        recorder.create("boot", "booted", &booted, booted.command, &[])?;
        let (lines, code) = recorder.attend("booted", None)?;
        ensure!(
            code == 0,
            "the first boot of {image} failed (`cargo xtask image` builds it from this checkout):\n{}",
            lines.join("\n")
        );
        // TimescaleDB's workers stay connected, and a database with sessions cannot be copied.
        recorder.sql("postgres", "alter database booted allow_connections false")?;
        recorder.sql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'booted'")?;
        Ok(recorder)
    }

    /// Returns the settings that `-- requires-extension: x (optional: setting)` names in the SQL files, of the extensions
    /// that the server does not offer.
    fn session_options(&self) -> anyhow::Result<String> {
        let mut options = Vec::new();
        for entry in workspace::path("db-init").read_dir_utf8().context("failed to read db-init")? {
            let path = entry.context("failed to read db-init")?.into_path();
            let text = if path.extension() == Some("sql") { std::fs::read_to_string(&path)? } else { String::new() };
            let required = text.lines().filter_map(|line| line.strip_prefix("-- requires-extension:"));
            for (name, rest) in required.filter_map(|value| value.split_once("(optional:")) {
                let query = format!("select count(*) from pg_available_extensions where name = '{}'", name.trim());
                if self.sql("postgres", &query)? == "0" {
                    options.push(format!("-c {}", rest.trim().trim_end_matches(')')));
                }
            }
        }
        Ok(options.join(" "))
    }

    /// Returns the objects of the SQL files in the booted database.
    fn objects(&self) -> anyhow::Result<String> {
        let path = workspace::path(OBJECTS_QUERY);
        let query = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        self.sql("postgres", "create database objects template booted")?;
        Ok(self.psql("objects", &query)? + "\n")
    }

    /// Runs a scenario and returns the lines to keep; `None` if this machine lacks its pooler.
    fn play(&self, scenario: &SampleScenario) -> anyhow::Result<Option<String>> {
        let database = scenario.name.replace('-', "_");
        // No session can be connected to these templates.
        let template = match scenario.start {
            Start::Nothing => None,
            Start::Empty => Some("template0"),
            Start::Latin1 => Some("template0 encoding 'LATIN1' locale 'C'"),
            Start::Booted => Some("booted"),
        };
        if let Some(template) = template {
            self.sql("postgres", &format!("create database \"{database}\" template {template}"))?;
        }
        if !scenario.sql.is_empty() {
            self.sql(&database, scenario.sql)?;
        }
        if scenario.pooled {
            let Some(pooler) = &self.pooler else { return Ok(None) };
            self.start_pooler(pooler, &database)?;
        }
        if let Some(script) = scenario.other_server {
            self.start_other_server(script)?;
        }
        for command in scenario.before {
            self.create("boot", &database, scenario, command, scenario.files_before)?;
            self.attend(&database, None)?;
        }
        match scenario.meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Boot => {
                let name = self.create("other", &database, scenario, scenario.command, scenario.files)?;
                cmd!(self.shell, "docker start {name}").quiet().ignore_stdout().run()?;
            }
            Meanwhile::Session(sql) => self.sleep_after(&database, sql)?,
            Meanwhile::Standby => self.start_standby()?,
        }
        let is_busy = matches!(scenario.meanwhile, Meanwhile::Boot | Meanwhile::Session(_));
        if is_busy {
            wait_until(|| self.sql("postgres", SLEEPS).is_ok_and(|answer| answer == "t"))?;
        }
        self.create("boot", &database, scenario, scenario.command, scenario.files)?;
        let (lines, code) = self.attend(&database, scenario.action.as_ref())?;
        self.remove("other");
        if is_busy {
            self.sql("postgres", END_SLEEPERS)?;
        }
        let expected = scenario.name.split('-').next().and_then(|code| code.parse().ok());
        // A server is killed once its boot is over.
        let killed = matches!(scenario.action, Some((_, SampleAction::Kill)));
        ensure!(killed || Some(code) == expected, "exit code {code}:\n{}", lines.join("\n"));
        let kept = match scenario.keep {
            KeptLines::Boot => kept(&lines),
            KeptLines::Server => {
                let of_server = lines.rsplit(|line| LogLine::parse(line).is_some()).next();
                of_server.unwrap_or_default().to_vec()
            }
            KeptLines::Json => lines.into_iter().filter(|line| line.starts_with('{')).collect(),
        };
        Ok(Some(kept.join("\n") + "\n"))
    }

    /// Creates a container of the image, with a command and files, and returns its name.
    fn create(
        &self,
        name: &str,
        database: &str,
        scenario: &SampleScenario,
        command: &[&str],
        files: &[(&str, FileEdit)],
    ) -> anyhow::Result<String> {
        leave_it_to_the_signal();
        let (shell, image, id) = (self.shell, self.image, &self.id);
        let host = if name == "boot" { "trm-2" } else { "trm-1" };
        let name = format!("{id}-{name}");
        let password = PASSWORD.to_owned();
        let defaults = [
            ("DB_CLIENT", "pg"),
            ("DB_HOST", "db"),
            ("DB_DATABASE", database),
            ("DB_USER", "directus"),
            ("DB_PASSWORD", &password),
            ("SECRET", &password),
            ("ADMIN_EMAIL", "admin@example.com"),
            ("ADMIN_PASSWORD", &password),
            ("PGOPTIONS", &self.options),
        ];
        let is_default = |(name, _): &&(&str, &str)| scenario.variables.iter().all(|(other, _)| other != name);
        let own = scenario.variables.iter().filter(|(_, value)| !value.is_empty());
        let variables: Vec<String> = defaults
            .iter()
            .filter(is_default)
            .chain(own)
            .map(|(name, value)| format!("--env={name}={value}"))
            .collect();
        let options = scenario.options;
        cmd!(shell, "docker create --name {name} --label trm.run={id} --network {id} --hostname {host} {options...} {variables...} {image} {command...}")
            .quiet()
            .ignore_stdout()
            .run()?;
        for (path, edit) in files {
            self.put(&name, path, edit)?;
        }
        Ok(name)
    }

    /// Starts the created container, acts when a line of its log has the action's words, and returns all lines and the
    /// exit code.
    fn attend(&self, database: &str, action: Option<&(&str, SampleAction)>) -> anyhow::Result<(Vec<String>, i32)> {
        let shell = self.shell;
        let name = format!("{}-boot", self.id);
        let output = duct::cmd!("docker", "start", "--attach", &name).stderr_to_stdout().unchecked();
        let mut lines = Vec::new();
        for line in BufReader::new(output.reader().context("failed to run docker")?).lines() {
            let line = line.context("failed to read the log")?;
            if let Some((words, action)) = action
                && line.contains(words)
            {
                self.act(action, &name, database)?;
            }
            lines.push(line);
        }
        let code = cmd!(shell, "docker inspect --format {STATE} {name}").quiet().read()?;
        self.remove("boot");
        Ok((lines, code.parse().context("docker printed no exit code")?))
    }

    /// Leaves a session of psql that sleeps after this SQL.
    fn sleep_after(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let (shell, id) = (self.shell, &self.id);
        let sql = format!("{sql}; select pg_sleep(60)");
        let password = format!("PGPASSWORD={PASSWORD}");
        cmd!(
            shell,
            "docker exec --detach --env {password} {id}-db psql -h 127.0.0.1 -U directus -d {database} -c {sql}"
        )
        .quiet()
        .run()?;
        Ok(())
    }

    /// Removes a container, which need not exist.
    fn remove(&self, name: &str) {
        let (shell, id) = (self.shell, &self.id);
        let removal = cmd!(shell, "docker rm --force --volumes {id}-{name}").quiet().ignore_stdout().ignore_stderr();
        drop(removal.run());
    }

    fn act(&self, action: &SampleAction, name: &str, database: &str) -> anyhow::Result<()> {
        let shell = self.shell;
        match action {
            SampleAction::Kill => cmd!(shell, "docker kill {name}").quiet().ignore_stdout().run()?,
            SampleAction::SignalInSql(signal) => {
                wait_until(|| self.sql("postgres", SLEEPS).is_ok_and(|answer| answer == "t"))?;
                cmd!(shell, "docker kill --signal {signal} {name}").quiet().ignore_stdout().run()?;
            }
            SampleAction::Sql(sql) => wait_until(|| self.sql(database, sql).is_ok_and(|answer| answer == "t"))?,
        }
        Ok(())
    }

    /// Puts a file into a container that is not started.
    fn put(&self, container: &str, path: &str, edit: &FileEdit) -> anyhow::Result<()> {
        let shell = self.shell;
        let text = match edit {
            FileEdit::Text(text) => (*text).to_owned(),
            FileEdit::Append(text) => read(path)? + text,
        };
        let folder = shell.create_temp_dir()?;
        let file = folder.path().join("file");
        shell.write_file(&file, text)?;
        let target = if path == "schema.yaml" { SNAPSHOT_FILE.to_owned() } else { format!("{DB_INIT_DIR}/{path}") };
        cmd!(shell, "docker cp {file} {container}:{target}").quiet().ignore_stdout().ignore_stderr().run()?;
        Ok(())
    }

    fn start_pooler(&self, image: &str, database: &str) -> anyhow::Result<()> {
        let (shell, id) = (self.shell, &self.id);
        let config = format!(
            "[databases]\n{database} = host=db\n[pgbouncer]\nlisten_addr = 0.0.0.0\nlisten_port = 6432\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = /tmp/users\npool_mode = transaction\n"
        );
        let script = format!(
            "printf '%s' '\"directus\" \"{PASSWORD}\"' > /tmp/users; printf '%s' '{config}' > /tmp/ini; exec pgbouncer /tmp/ini"
        );
        cmd!(
            shell,
            "docker run --detach --name {id}-pooler --label trm.run={id} --network {id} --network-alias pgbouncer --entrypoint sh {image} -c {script}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    /// Starts a server on the port 5432 of the host `other`, from an expression of Node.
    fn start_other_server(&self, expression: &str) -> anyhow::Result<()> {
        let (shell, id, image) = (self.shell, &self.id, self.image);
        let script = format!("const net = require('net'), http = require('http'); ({expression}).listen(5432)");
        cmd!(
            shell,
            "docker run --detach --name {id}-other --label trm.run={id} --network {id} --network-alias other {image} node -e {script}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
        let listens =
            "require('net').connect(5432).on('connect', () => process.exit()).on('error', () => process.exit(1))";
        wait_until(|| cmd!(shell, "docker exec {id}-other node -e {listens}").quiet().ignore_stderr().run().is_ok())
    }

    /// Starts a standby next to the database server, on the port 5434, which lasts until the recording ends.
    fn start_standby(&self) -> anyhow::Result<()> {
        let (shell, id) = (self.shell, &self.id);
        let copy = "pg_basebackup -U directus -D /tmp/standby -T /small=/tmp/small -R --checkpoint=fast && exec postgres -D /tmp/standby -p 5434";
        cmd!(shell, "docker exec --detach --user postgres {id}-db sh -c {copy}").quiet().run()?;
        let ask = "psql -h 127.0.0.1 -p 5434 -U directus -d postgres -qAtc 'select pg_is_in_recovery()'";
        let password = format!("PGPASSWORD={PASSWORD}");
        wait_until(|| {
            let answer = cmd!(shell, "docker exec --env {password} {id}-db sh -c {ask}").quiet().ignore_stderr().read();
            answer.is_ok_and(|answer| answer == "t")
        })
    }

    /// Runs SQL in a database and returns the answer's last line.
    fn sql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        Ok(self.psql(database, sql)?.lines().last().unwrap_or_default().to_owned())
    }

    /// Runs SQL and returns the rows of its answer.
    fn psql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let (shell, id) = (self.shell, &self.id);
        let password = format!("PGPASSWORD={PASSWORD}");
        Ok(cmd!(
            shell,
            "docker exec --env {password} {id}-db psql -h 127.0.0.1 -U directus -d {database} -v ON_ERROR_STOP=1 -qAtc {sql}"
        )
        .quiet()
        .ignore_stderr()
        .read()?)
    }

    /// The page that names what ran.
    fn describe(&self) -> anyhow::Result<String> {
        let (shell, image) = (self.shell, self.image);
        let label = |name: &str| {
            let format = format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}");
            cmd!(shell, "docker inspect --format {format} {image}").quiet().read()
        };
        let origin = |name: &str| {
            let note = "a stand-in that this machine built, see [stand-ins](../stand-ins.md)";
            if name.starts_with("trm-standin/") { note } else { "upstream's" }
        };
        let base = label("base.name")?;
        let postgres = database(shell).unwrap_or_default();
        let version = self.sql("postgres", "show server_version")?;
        let engine = cmd!(shell, "docker version --format {ENGINE}").quiet().read()?;
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
        Ok(format!(
            "<!-- Written by `cargo xtask docs --record`; changes by hand are lost. -->\n\n# Samples\n\nLogs of real boots. `cargo xtask \
             docs --record` boots the image in the situations of `xtask/src/commands/docs/scenarios.rs`, writes the logs here, and \
             puts them into the pages. `--record --check` records them again and fails if a sentence has changed; numbers may \
             differ. A log contains the lines of the phase that ended; logs of complete boots contain all phases. \
             `objects.tsv` lists the objects of the SQL files in the database of a boot, for [the data model](../data-model.md); \
             `--record=model` writes only this list.\n\n| | |\n| --- | --- |\n\
             | image | {} at revision {} |\n| base | `{base}`, {} |\n| database | PostgreSQL {version}, from `{postgres}`, {} |\n\
             | machine | engine {engine}, {processors} processors, load {load} |\n",
            label("version")?,
            label("revision")?,
            origin(&base),
            origin(&postgres),
        ))
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        leave_it_to_the_signal();
        if let Err(error) = remove_all(&self.id) {
            eprintln!("warning: {} is not removed: {error:#}", self.id);
        }
    }
}

/// Waits forever if a signal has ended the recording: its thread removes the containers and ends the process.
fn leave_it_to_the_signal() {
    while ENDED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Removes the containers and the network of a recording.
fn remove_all(id: &str) -> anyhow::Result<()> {
    let shell = Shell::new().context("there is no current folder")?;
    let containers = cmd!(shell, "docker ps --all --quiet --filter label=trm.run={id}").quiet().read()?;
    let containers: Vec<&str> = containers.lines().collect();
    if !containers.is_empty() {
        cmd!(shell, "docker rm --force --volumes {containers...}").quiet().ignore_stdout().run()?;
    }
    cmd!(shell, "docker network rm {id}").quiet().ignore_stdout().run()?;
    Ok(())
}

/// Has Ctrl-C, SIGTERM and SIGHUP end the recording only after its containers are removed.
#[cfg(unix)]
fn remove_on_signal(id: String) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("failed to listen for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            ENDED.store(true, Ordering::SeqCst);
            // For a container that is being created.
            std::thread::sleep(Duration::from_secs(1));
            if let Err(error) = remove_all(&id) {
                eprintln!("warning: {id} is not removed: {error:#}");
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// The next run of a tool removes the containers.
#[cfg(not(unix))]
fn remove_on_signal(_id: String) -> anyhow::Result<()> {
    Ok(())
}

/// The lines of the phase that failed, or of all phases of a complete boot, without those of Directus. Of a report the
/// text, and of a usage error its first line.
fn kept(lines: &[String]) -> Vec<String> {
    let boot: Vec<LogLine> = lines.iter().filter_map(|line| LogLine::parse(line)).collect();
    match boot.last() {
        None => lines.iter().take_while(|line| !line.is_empty()).cloned().collect(),
        Some(last) if last.phase == Phase::Exec => boot.iter().map(LogLine::to_text).collect(),
        Some(last) if matches!(last.event, Event::Failed(_)) => {
            boot.iter().filter(|line| line.phase == last.phase).map(LogLine::to_text).collect()
        }
        Some(_) => lines.iter().filter(|line| LogLine::parse(line).is_none()).cloned().collect(),
    }
}

/// The image or its stand-in, if one of them is on this machine.
fn local(shell: &Shell, image: &str, stand_in: &str) -> Option<String> {
    let is_here =
        |name: &&str| cmd!(shell, "docker image inspect {name}").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    [image, stand_in].into_iter().find(is_here).map(str::to_owned)
}

/// The database's image.
fn database(shell: &Shell) -> Option<String> {
    local(shell, POSTGRES, grammar::DATABASE_STAND_IN)
}

/// A file of the checkout that the image holds.
fn read(path: &str) -> anyhow::Result<String> {
    let folder = if path == "schema.yaml" { "snapshots" } else { "db-init" };
    let path = workspace::path(folder).join(path);
    std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))
}

fn wait_until(mut is_done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_done() {
        if began.elapsed() > PATIENCE {
            bail!("waited for {} s without success", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{kept, shape};

    #[test]
    fn a_shape_has_the_words_and_no_numbers() {
        assert_eq!(shape("4/8 db-init: 3 applied (41 ms)"), shape("4/8 db-init: 4 applied (9 ms)"));
        assert_eq!(shape("[entrypoint] 4/8 db-init: warning: no extension\na plan"), "a plan");
        assert_ne!(shape("no lock"), shape("a lock"));
    }

    #[test]
    fn the_lines_of_the_last_phase_are_kept() {
        let lines = [
            "[entrypoint] 1/8 config: 3 + 2 migrations (0 ms)",
            "[12:00:00] INFO: a line of Directus",
            "[entrypoint] 2/8 database failed: db refuses (exit 21)",
        ];
        assert_eq!(kept(&lines.map(str::to_owned)), [lines[2]]);
        assert_eq!(kept(&["[entrypoint] unknown option".to_owned(), String::new()]), ["[entrypoint] unknown option"]);
    }
}
