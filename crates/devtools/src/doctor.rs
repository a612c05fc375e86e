//! `doctor`: what this machine has and lacks for the other commands.

use std::collections::BTreeMap;
use std::process::ExitCode;

use camino::Utf8Path;
use serde::Serialize;

use testbed::engine::Engine;
use testbed::setup::{self, PartState, SetupOutcome};
use testbed::{dotenv, ports, session, ui, workspace};

/// Images, layers and cargo's output of a first `ci` take about this many bytes.
const FIRST_RUN: u64 = 15_000_000_000;
/// Below this, builds fail in the middle.
const NEEDED: u64 = 2_000_000_000;
/// The label of every image that this repository builds.
const OUR_IMAGES: &str = "org.opencontainers.image.title=trm-directus";

#[derive(Serialize)]
struct DoctorReport {
    ok: bool,
    parts: Vec<SetupOutcome>,
    ports: Vec<PortReport>,
    disk: Vec<DiskReport>,
    leftovers: Vec<LeftoverReport>,
}

/// A port that the development stack publishes.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct PortReport {
    port: u16,
    /// The variable that sets it.
    variable: &'static str,
    free: bool,
    /// The container or the process that listens there, if it can be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

/// The free space for a folder.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct DiskReport {
    folder: String,
    purpose: &'static str,
    free_bytes: u64,
}

/// Something that earlier commands left, with the command that removes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct LeftoverReport {
    what: String,
    remedy: &'static str,
}

/// Runs `doctor`.
pub(crate) async fn run(flags: &grammar::DoctorFlags) -> anyhow::Result<ExitCode> {
    let spinner = ui::Spinner::start();
    spinner.restart("examining this machine");
    let parts = setup::inspect().await;
    let engine = Engine::connect().await.ok();
    let publishers = match &engine {
        Some(engine) => engine.publishers().await?,
        None => BTreeMap::new(),
    };
    let report = DoctorReport {
        ports: vec![port("PORT_ON_HOST", 8055, &publishers)?, port("DB_PORT_ON_HOST", 5432, &publishers)?],
        disk: disks(engine.as_ref()).await?,
        leftovers: match &engine {
            Some(engine) => leftovers(engine).await?,
            None => Vec::new(),
        },
        ok: true,
        parts,
    };
    drop(spinner);
    let ok = is_ok(&report);
    let report = DoctorReport { ok, ..report };
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns true if nothing is missing that most commands need. A taken port is none: `dev-reset` takes the next one.
fn is_ok(report: &DoctorReport) -> bool {
    let has_parts = report.parts.iter().all(|part| part.optional || part.state == PartState::Ok);
    has_parts && report.disk.iter().all(|disk| disk.free_bytes >= NEEDED)
}

fn port(variable: &'static str, default: u16, publishers: &BTreeMap<u16, String>) -> anyhow::Result<PortReport> {
    // A value that is not a port is an error of `dev-reset`, which names it.
    let port = dotenv::variable(variable)?.and_then(|value| value.parse().ok()).unwrap_or(default);
    let free = ports::is_free(port, &publishers.keys().copied().collect());
    let process = || {
        let process = listeners::get_process_by_port(port, listeners::Protocol::TCP).ok()?;
        Some(format!("process {} ({})", process.pid, process.name))
    };
    let container = publishers.get(&port).map(|name| format!("container {name}"));
    Ok(PortReport { port, variable, free, owner: if free { None } else { container.or_else(process) } })
}

/// The file systems of cargo's output and, if it is on this machine, of the engine's data.
async fn disks(engine: Option<&Engine>) -> anyhow::Result<Vec<DiskReport>> {
    let mut folders = vec![(workspace::root().to_string(), "the checkout, with cargo's output")];
    if let Some(engine) = engine
        && let Some(folder) = engine.data_folder().await?
    {
        folders.push((folder, "images and volumes"));
    }
    let free = |(folder, purpose): (String, _)| {
        Some(DiskReport { free_bytes: free_space(Utf8Path::new(&folder))?, folder, purpose })
    };
    Ok(folders.into_iter().filter_map(free).collect())
}

#[cfg(unix)]
fn free_space(folder: &Utf8Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder.as_std_path()).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_folder: &Utf8Path) -> Option<u64> {
    None
}

async fn leftovers(engine: &Engine) -> anyhow::Result<Vec<LeftoverReport>> {
    let sessions = session::leftovers(engine).await?.into_iter().map(|id| LeftoverReport {
        what: format!("containers, networks or volumes of {id}, which was killed"),
        remedy: "the next `cargo xtask inspect-user`, `test` or `verify` removes them",
    });
    let mut leftovers: Vec<_> = sessions.collect();
    let images = engine.unnamed_images(OUR_IMAGES).await?;
    if images > 0 {
        leftovers.push(LeftoverReport {
            what: format!("{images} images that later builds replaced"),
            remedy: "`docker image prune --force --filter label=org.opencontainers.image.title=trm-directus`",
        });
    }
    Ok(leftovers)
}

fn render(report: &DoctorReport) -> String {
    let parts: Vec<[String; 3]> = report.parts.iter().flat_map(part_rows).collect();
    let ports = report.ports.iter().map(port_row).collect::<Vec<_>>();
    let disk: Vec<[String; 3]> = report.disk.iter().map(disk_row).collect();
    let mut sections =
        vec![("Parts", ui::columns(&parts)), ("Ports", ui::columns(&ports)), ("Disk", ui::columns(&disk))];
    if !report.leftovers.is_empty() {
        let rows: Vec<[String; 1]> =
            report.leftovers.iter().map(|left| [format!("{}: {}", left.what, left.remedy)]).collect();
        sections.push(("Leftovers", ui::columns(&rows)));
    }
    let sections: Vec<String> = sections.into_iter().map(|(title, rows)| format!("{title}\n{rows}")).collect();
    let missing = report.parts.iter().filter(|part| !part.optional && part.state == PartState::Missing).count();
    let verdict = match (report.ok, missing) {
        (true, _) => "nothing that is needed is missing".to_owned(),
        (false, 0) => format!("less than {} are free", ui::size(NEEDED)),
        (false, missing) => format!("{missing} needed parts are missing"),
    };
    format!("{}\n{verdict}", sections.join("\n"))
}

/// A line for a part; for a missing one, its purpose and the way to it in lines of their own.
fn part_rows(part: &SetupOutcome) -> Vec<[String; 3]> {
    let SetupOutcome { name, state, found, purpose, optional, remedy, .. } = part;
    let verdict = match (state, optional) {
        (PartState::Ok, _) => "ok",
        (PartState::Missing, true) => "optional",
        (PartState::Missing, false) => "MISSING",
    };
    let mut rows = vec![[verdict.to_owned(), (*name).to_owned(), found.clone()]];
    if *state == PartState::Missing {
        let details = [Some(format!("for: {purpose}")), remedy.as_ref().map(|remedy| format!("do:  {remedy}"))];
        rows.extend(details.into_iter().flatten().map(|detail| [String::new(), String::new(), detail]));
    }
    rows
}

fn port_row(report: &PortReport) -> [String; 3] {
    let PortReport { port, variable, free, owner } = report;
    let state = match (free, owner) {
        (true, _) => "free".to_owned(),
        (false, Some(owner)) => format!("taken by {owner}; {variable} chooses another one"),
        (false, None) => format!("taken by another program; {variable} chooses another one"),
    };
    [if *free { "ok" } else { "taken" }.to_owned(), port.to_string(), state]
}

fn disk_row(report: &DiskReport) -> [String; 3] {
    let DiskReport { folder, purpose, free_bytes } = report;
    let verdict = match *free_bytes {
        0..NEEDED => "FULL",
        NEEDED..FIRST_RUN => "low",
        _ => "ok",
    };
    let advice = if *free_bytes < FIRST_RUN {
        format!("; a first `ci` takes about {}", ui::size(FIRST_RUN))
    } else {
        String::new()
    };
    [verdict.to_owned(), format!("{} free", ui::size(*free_bytes)), format!("{folder}: {purpose}{advice}")]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn report() -> DoctorReport {
        let part = |name, state, optional, remedy: Option<&str>| SetupOutcome {
            name,
            state,
            found: "1.2".to_owned(),
            purpose: "for tests",
            optional,
            remedy: remedy.map(str::to_owned),
            would: None,
            did: None,
            seconds: 0.0,
        };
        DoctorReport {
            ok: true,
            parts: vec![
                part("engine", PartState::Ok, false, None),
                part("browser", PartState::Missing, true, Some("`cargo xtask setup --yes --browser`")),
            ],
            ports: vec![PortReport { port: 8055, variable: "PORT_ON_HOST", free: false, owner: None }],
            disk: vec![DiskReport { folder: "/".into(), purpose: "images", free_bytes: 9_000_000_000 }],
            leftovers: Vec::new(),
        }
    }

    #[test]
    fn a_missing_part_has_its_purpose_and_the_command_that_installs_it() {
        let expected = "Parts\n  ok        engine   1.2\n  optional  browser  1.2\n                     for: for tests\n\
                        \x20                    do:  `cargo xtask setup --yes --browser`\n\
                        Ports\n  taken  8055  taken by another program; PORT_ON_HOST chooses another one\n\
                        Disk\n  low  9.0 GB free  /: images; a first `ci` takes about 15.0 GB\n\
                        nothing that is needed is missing";
        assert_eq!(render(&report()), expected);
    }

    #[test]
    fn only_a_needed_part_or_a_full_disk_is_a_failure() {
        assert!(is_ok(&report()));
        let mut missing = report();
        missing.parts[1].optional = false;
        missing.ok = is_ok(&missing);
        assert!(!missing.ok && render(&missing).ends_with("\n1 needed parts are missing"));
        let mut full = report();
        full.disk[0].free_bytes = 1_000_000_000;
        full.ok = is_ok(&full);
        assert!(!full.ok && render(&full).ends_with("\nless than 2.0 GB are free"));
    }

    #[test]
    fn the_owner_of_a_taken_port_is_a_container_or_a_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        let found = port("NO_SUCH_VARIABLE", number, &BTreeMap::new()).unwrap();
        assert!(!found.free);
        if cfg!(target_os = "linux") {
            assert!(found.owner.unwrap().starts_with(&format!("process {} (", std::process::id())));
        }
        let found = port("NO_SUCH_VARIABLE", number, &BTreeMap::from([(number, "stack-db-1".to_owned())])).unwrap();
        assert_eq!(found.owner.as_deref(), Some("container stack-db-1"));
    }

    #[test]
    fn this_folder_has_free_space() {
        assert_eq!(free_space(workspace::root()).is_some_and(|bytes| bytes > 0), cfg!(unix));
    }
}
