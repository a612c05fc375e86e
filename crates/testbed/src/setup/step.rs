//! The steps of the setup. A step may depend on earlier ones.

use std::ffi::OsString;

use grammar::PostgresVersion;

use crate::base_images::BaseImage;
use crate::cmd::Cmd;
use crate::engine::Engine;
use crate::registry::Registry;
use crate::workspace;

use super::machine::{SetupMachine, browser, is_on_path, musl_target};
use super::plan::{SetupPlan, SetupProbe};

/// A part that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetupStep {
    /// A container engine that answers.
    Engine,
    /// `docker compose`.
    Compose,
    /// `docker buildx`.
    Buildx,
    /// Rust's standard library for the static binary.
    MuslTarget,
    /// A C compiler, for the C inside the TLS library.
    Compiler,
    /// The cargo command that writes the list of crates into the binary of a release.
    Auditable,
    /// The base of our image.
    DirectusImage,
    /// The database of the development stack.
    DatabaseImage,
    /// The pooler for the boot's tests.
    PoolerImage,
    /// The Redis for the check of other services.
    RedisImage,
    /// The oldest database, for the check of a restored dump.
    OldestDatabaseImage,
    /// The registry that a test publishes to.
    RegistryImage,
    /// The reader of JSON in the steps of the workflow, which that test runs.
    Jq,
    /// Prometheus' checker of metrics and alert rules.
    Promtool,
    /// A Chromium for the check of the admin UI. Not in [`SetupStep::ALL`], like the next two.
    Browser,
    /// The toolchain that builds the boot binary in the image build.
    RustImage,
    /// A registry with the base images.
    Registry(Registry),
    /// The compiler. Like the next three, a requirement that no setup installs, because the developer chooses its source.
    Rust,
    /// Node with npm.
    Node,
    /// Python with pip.
    Python,
    /// Git.
    Git,
}

impl SetupStep {
    /// Everything that a setup can be asked for, and the requirements.
    pub(super) fn every(registry: Registry) -> impl Iterator<Item = SetupStep> {
        let first = [SetupStep::Rust, SetupStep::Git, SetupStep::Node, SetupStep::Python];
        let last = [SetupStep::Browser, SetupStep::RustImage, SetupStep::Registry(registry)];
        first.into_iter().chain(SetupStep::ALL).chain(last)
    }

    pub(super) const ALL: [SetupStep; 14] = [
        SetupStep::Engine,
        SetupStep::Compose,
        SetupStep::Buildx,
        SetupStep::MuslTarget,
        SetupStep::Compiler,
        SetupStep::Auditable,
        SetupStep::DirectusImage,
        SetupStep::DatabaseImage,
        SetupStep::PoolerImage,
        SetupStep::RedisImage,
        SetupStep::OldestDatabaseImage,
        SetupStep::RegistryImage,
        SetupStep::Jq,
        SetupStep::Promtool,
    ];

    /// Returns true if only releases and tests need it.
    pub(super) fn is_for_tests(self) -> bool {
        matches!(
            self,
            SetupStep::Auditable
                | SetupStep::PoolerImage
                | SetupStep::RedisImage
                | SetupStep::OldestDatabaseImage
                | SetupStep::RegistryImage
                | SetupStep::Jq
                | SetupStep::Promtool
        )
    }

    /// Returns true for a part without which every command works, but for some that name it.
    pub(super) fn is_optional(self) -> bool {
        matches!(
            self,
            SetupStep::Browser | SetupStep::RustImage | SetupStep::Registry(_) | SetupStep::Python | SetupStep::Git
        )
    }

    /// Returns the purpose, as a phrase after the name.
    pub(super) fn purpose(self) -> &'static str {
        match self {
            SetupStep::Engine => "runs every container: the stack, the tests, the gate",
            SetupStep::Compose => "starts the development stack",
            SetupStep::Buildx => "builds the image",
            SetupStep::MuslTarget => "compiles the boot binary, which is static",
            SetupStep::Compiler => "compiles the C of the boot binary's TLS library, and links",
            SetupStep::Auditable => "writes the list of crates into the boot binary of a release",
            SetupStep::DirectusImage => "the base of the image",
            SetupStep::DatabaseImage => "the database of the stack, the tests and the gate",
            SetupStep::PoolerImage => "the tests of connections through a pooler",
            SetupStep::RedisImage => "the gate's check of a Directus with Redis",
            SetupStep::OldestDatabaseImage => "the gate's check of a restored dump, and `test --postgres`",
            SetupStep::RegistryImage => "the test of the workflow that publishes the image",
            SetupStep::Jq => "the same test: the workflow's steps read JSON with it",
            SetupStep::Promtool => "the tests of the boot's metrics and of the alert rules",
            SetupStep::Browser => "the gate's check of the admin UI",
            SetupStep::RustImage => "`image --source`: compiles the boot binary in the image build",
            SetupStep::Registry(_) => "pulls and pushes as with a public registry, on a machine without one",
            SetupStep::Rust => "compiles the tools and the boot binary",
            SetupStep::Node => "the tests of the image's scripts, the picture of the data model, stand-ins",
            SetupStep::Python => {
                "the tests of the chart, which fetch helm; stand-ins, where no container registry answers"
            }
            SetupStep::Git => "the revision in the image's labels",
        }
    }

    /// Returns the command that installs the part, if a plan can.
    pub(super) fn command(self) -> &'static str {
        match self {
            SetupStep::Browser => "cargo xtask setup --yes --browser",
            SetupStep::RustImage | SetupStep::Registry(_) => "cargo xtask setup --yes --registry",
            _ => "cargo xtask setup --yes",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            SetupStep::Engine => "engine",
            SetupStep::Compose => "compose plugin",
            SetupStep::Buildx => "buildx plugin",
            SetupStep::MuslTarget => "static Rust target",
            SetupStep::Compiler => "C compiler",
            SetupStep::Auditable => "cargo auditable",
            SetupStep::DirectusImage => "Directus image",
            SetupStep::DatabaseImage => "database image",
            SetupStep::PoolerImage => "pooler image",
            SetupStep::RedisImage => "Redis image",
            SetupStep::OldestDatabaseImage => "oldest database image",
            SetupStep::RegistryImage => "registry image",
            SetupStep::Jq => "jq",
            SetupStep::Promtool => "promtool",
            SetupStep::Browser => "browser",
            SetupStep::RustImage => "Rust image",
            SetupStep::Registry(_) => "local registry",
            SetupStep::Rust => "Rust",
            SetupStep::Node => "Node",
            SetupStep::Python => "Python",
            SetupStep::Git => "git",
        }
    }

    pub(super) async fn probe(self, machine: &SetupMachine) -> anyhow::Result<SetupProbe> {
        match self {
            SetupStep::Engine => Ok(engine(machine).await),
            SetupStep::Compose => plugin(machine, &COMPOSE).await,
            SetupStep::Buildx => plugin(machine, &BUILDX).await,
            SetupStep::MuslTarget => musl_target_installed(machine).await,
            SetupStep::Compiler => compiler(machine).await,
            SetupStep::Auditable => auditable(machine).await,
            SetupStep::DirectusImage => image(BaseImage::directus()).await,
            SetupStep::DatabaseImage => image(BaseImage::postgres().await).await,
            SetupStep::PoolerImage => image(Ok(BaseImage::pooler())).await,
            SetupStep::RedisImage => image(Ok(BaseImage::redis())).await,
            SetupStep::OldestDatabaseImage => image(Ok(BaseImage::exact_postgres(PostgresVersion::OLDEST))).await,
            SetupStep::RegistryImage => image(Ok(BaseImage::registry())).await,
            SetupStep::Jq => Ok(judge_program(machine, "jq", is_on_path("jq"))),
            SetupStep::Promtool => Ok(promtool(machine)),
            SetupStep::Browser => Ok(judge_browser(machine, browser())),
            SetupStep::RustImage => image(BaseImage::rust()).await,
            SetupStep::Registry(registry) => local_registry(registry).await,
            SetupStep::Rust => Ok(requirement(&[rustc()], "Rust with cargo").await),
            SetupStep::Node => Ok(requirement(&["node".into(), "npm".into()], "Node 20 or newer with npm").await),
            SetupStep::Python => Ok(requirement(&["python3".into()], "Python 3 with pip").await),
            SetupStep::Git => Ok(requirement(&["git".into()], "git").await),
        }
    }
}

async fn engine(machine: &SetupMachine) -> SetupProbe {
    let version = match Engine::connect().await {
        Ok(engine) => engine.version().await,
        Err(error) => Err(error),
    };
    match version {
        Ok(version) => SetupProbe::Ok(version),
        Err(error) => {
            let installed = is_on_path("dockerd") && is_on_path("docker");
            let state = if installed { "installed, does not answer" } else { "none" };
            // A newly installed engine would not be the named one.
            let plan = match Engine::named() {
                Some(named) => SetupPlan::Advise(format!("start the engine of {named}")),
                None => plan_engine(machine, installed),
            };
            SetupProbe::Missing { found: format!("{state} ({})", error.root_cause()), plan }
        }
    }
}

fn plan_engine(machine: &SetupMachine, installed: bool) -> SetupPlan {
    if !(machine.debian && machine.root) {
        let text = if machine.linux && installed {
            "start the engine (`systemctl start docker`), and make sure that this user may use its socket"
        } else if machine.linux {
            "install Docker Engine 20.10 or newer with your distribution's packages, and start it"
        } else {
            "install and start Docker Desktop, or another engine with the Docker API"
        };
        return SetupPlan::Advise(text.to_owned());
    }
    let install = Cmd::new("scripts/engine/install-debian.sh").arg("--engine");
    let start = Cmd::new("scripts/engine/start.sh");
    SetupPlan::Run(if installed { vec![start] } else { vec![install, start] })
}

/// A plugin of the docker command.
struct Plugin {
    name: &'static str,
    needed: (u32, u32),
    why: &'static str,
}

const COMPOSE: Plugin = Plugin { name: "compose", needed: (2, 0), why: "version 1 cannot read this compose file" };
const BUILDX: Plugin = Plugin { name: "buildx", needed: (0, 13), why: "older ones have no --progress=rawjson" };

async fn plugin(machine: &SetupMachine, plugin: &Plugin) -> anyhow::Result<SetupProbe> {
    let output = match Cmd::new("docker").args([plugin.name, "version"]).capture().await {
        Ok(output) if output.status.success() => output.stdout,
        _ => String::new(),
    };
    Ok(judge_plugin(machine, plugin, &output))
}

fn judge_plugin(machine: &SetupMachine, plugin: &Plugin, output: &str) -> SetupProbe {
    let Plugin { name, needed: (major, minor), why } = plugin;
    let found = match version_in(output) {
        Some((version, number)) if number >= plugin.needed => return SetupProbe::Ok(version.to_owned()),
        Some((version, _)) => format!("{version}, but {why}"),
        None => "none".to_owned(),
    };
    let plan = if machine.debian && machine.root {
        SetupPlan::Run(vec![Cmd::new("scripts/engine/install-debian.sh").arg(format!("--{name}"))])
    } else {
        SetupPlan::Advise(format!("install docker {name} {major}.{minor} or newer"))
    };
    SetupProbe::Missing { found, plan }
}

/// Returns the first word of a text that is a version, with its first two numbers.
fn version_in(text: &str) -> Option<(&str, (u32, u32))> {
    text.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v');
        let mut parts = word.split(['.', '+', '-']);
        let number = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((word, number))
    })
}

async fn musl_target_installed(machine: &SetupMachine) -> anyhow::Result<SetupProbe> {
    if !machine.linux {
        return Ok(SetupProbe::Ok("not needed here: the image build compiles the binary".to_owned()));
    }
    let target = musl_target();
    // Asks the compiler, not rustup: a distribution's package may provide the target without rustup.
    let libraries = Cmd::new(rustc()).args(["--print", "target-libdir", "--target", &target]).read().await?;
    if camino::Utf8Path::new(&libraries).is_dir() {
        return Ok(SetupProbe::Ok(target));
    }
    let plan = if machine.rustup {
        SetupPlan::Run(vec![Cmd::new("rustup").args(["target", "add", &target])])
    } else {
        SetupPlan::Advise(format!(
            "install the standard library of {target} (there is no rustup to add it), or build with \
             `cargo xtask image --source`"
        ))
    };
    Ok(SetupProbe::Missing { found: format!("no {target}"), plan })
}

/// The compiler that the cargo of these tools uses.
fn rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Looks for programs, and finds their versions.
async fn requirement(programs: &[OsString], name: &str) -> SetupProbe {
    let mut found = Vec::new();
    for program in programs {
        let version = match Cmd::new(program).arg("--version").capture().await {
            Ok(output) if output.status.success() => output.stdout,
            _ => {
                let plan = SetupPlan::Advise(format!("install {name}, so that it is on the PATH"));
                return SetupProbe::Missing { found: format!("no {}", program.to_string_lossy()), plan };
            }
        };
        let version = version.lines().next().unwrap_or_default().to_owned();
        let is_bare = version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
        found.push(if is_bare { format!("{} {version}", program.to_string_lossy()) } else { version });
    }
    SetupProbe::Ok(found.join(", "))
}

async fn compiler(machine: &SetupMachine) -> anyhow::Result<SetupProbe> {
    if !machine.linux {
        return Ok(SetupProbe::Ok("not needed here".to_owned()));
    }
    if is_on_path("gcc") {
        let version = Cmd::new("gcc").arg("-dumpfullversion").read().await?;
        return Ok(SetupProbe::Ok(format!("gcc {version}")));
    }
    let plan = if machine.debian && machine.root {
        install(&["gcc", "libc6-dev"])
    } else {
        SetupPlan::Advise("install gcc".to_owned())
    };
    Ok(SetupProbe::Missing { found: "no gcc".to_owned(), plan })
}

async fn auditable(machine: &SetupMachine) -> anyhow::Result<SetupProbe> {
    if !machine.linux {
        return Ok(SetupProbe::Ok("not needed here: the image build compiles the binary".to_owned()));
    }
    let version = Cmd::cargo().args(["auditable", "--version"]).capture().await?;
    if version.status.success() {
        // It passes the option on, so the version is that of cargo.
        return Ok(SetupProbe::Ok("cargo-auditable".to_owned()));
    }
    let plan = SetupPlan::Run(vec![Cmd::cargo().args(["install", "--locked", "cargo-auditable"])]);
    Ok(SetupProbe::Missing { found: "no cargo-auditable".to_owned(), plan })
}

fn judge_browser(machine: &SetupMachine, found: Option<&str>) -> SetupProbe {
    let plan = match found {
        Some(name) => return SetupProbe::Ok(name.to_owned()),
        None if machine.debian && machine.root => install(&["chromium"]),
        None => SetupPlan::Advise("install Chromium or Chrome, so that it is on the PATH".to_owned()),
    };
    SetupProbe::Missing { found: "no Chromium".to_owned(), plan }
}

/// Judges a program that has the name of its package.
fn judge_program(machine: &SetupMachine, name: &str, found: bool) -> SetupProbe {
    let plan = match found {
        true => return SetupProbe::Ok(name.to_owned()),
        false if machine.debian && machine.root => install(&[name]),
        false => SetupPlan::Advise(format!("install {name}, so that it is on the PATH")),
    };
    SetupProbe::Missing { found: format!("no {name}"), plan }
}

/// Looks for promtool on the PATH, and in the folder of programs that a setup unpacked.
fn promtool(machine: &SetupMachine) -> SetupProbe {
    let unpacked = "target/tools/promtool";
    if workspace::path(unpacked).exists() {
        return SetupProbe::Ok(unpacked.to_owned());
    }
    if is_on_path("promtool") {
        return SetupProbe::Ok("promtool".to_owned());
    }
    let plan = if machine.debian {
        SetupPlan::Run(vec![Cmd::new("scripts/promtool/install-debian.sh")])
    } else {
        SetupPlan::Advise("install promtool, which comes with Prometheus, so that it is on the PATH".to_owned())
    };
    SetupProbe::Missing { found: "no promtool".to_owned(), plan }
}

/// Looks for the base images in a local registry.
async fn local_registry(registry: Registry) -> anyhow::Result<SetupProbe> {
    let plan = SetupPlan::Registry(registry);
    let Ok(engine) = Engine::connect().await else {
        return Ok(SetupProbe::Missing { found: "unknown without engine".to_owned(), plan });
    };
    let missing = registry.missing(&engine).await;
    Ok(match missing.as_deref() {
        Ok([]) => SetupProbe::Ok(format!("{} has the base images of this machine", registry.host())),
        Ok(missing) => {
            SetupProbe::Missing { found: format!("{} lacks {} images", registry.host(), missing.len()), plan }
        }
        Err(error) => SetupProbe::Missing { found: format!("none ({error:#})"), plan },
    })
}

/// Installs packages of the distribution without recommended ones.
fn install(packages: &[&str]) -> SetupPlan {
    let install = apt_get().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages);
    SetupPlan::Run(vec![apt_get().args(["update", "-q"]), install])
}

fn apt_get() -> Cmd {
    Cmd::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive")
}

/// Looks for an image, or for its stand-in from the current recipes.
pub(super) async fn image(image: anyhow::Result<BaseImage>) -> anyhow::Result<SetupProbe> {
    // Needs the steps above; when those fail, their own findings come first.
    let (Ok(engine), Ok(image)) = (Engine::connect().await, image) else {
        let plan = SetupPlan::Advise("pull it, or build a stand-in, once engine and compose work".to_owned());
        return Ok(SetupProbe::Missing { found: "unknown without engine and compose".to_owned(), plan });
    };
    Ok(match image.local(&engine).await? {
        None => SetupProbe::Missing { found: format!("no {}", image.name), plan: SetupPlan::Image(image) },
        Some(local) if local.stand_in && local.name == image.stand_in() => {
            let found = format!("{}, a stand-in (the real one: `docker pull {}`)", local.name, image.name);
            if image.has_current_stand_in(&engine).await? {
                SetupProbe::Ok(found)
            } else {
                let found = format!("{}, built from a recipe other than this checkout's", local.name);
                SetupProbe::Missing { found, plan: SetupPlan::StandIn(image) }
            }
        }
        Some(local) if local.stand_in => SetupProbe::Ok(format!("{}, a stand-in by its label", local.name)),
        Some(local) => SetupProbe::Ok(local.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: SetupMachine = SetupMachine { linux: true, debian: true, root: true, rustup: true };

    #[test]
    fn an_engine_is_installed_and_started_or_only_started_on_debian_as_root() {
        let expected = "run `scripts/engine/install-debian.sh --engine`, then `scripts/engine/start.sh`";
        assert_eq!(plan_engine(&DEBIAN, false).describe(), expected);
        assert_eq!(plan_engine(&DEBIAN, true).describe(), "run `scripts/engine/start.sh`");
    }

    #[test]
    fn the_user_is_advised_where_the_engine_cannot_be_installed() {
        let user = SetupMachine { root: false, ..DEBIAN };
        assert!(plan_engine(&user, true).describe().starts_with("start the engine"));
        let fedora = SetupMachine { debian: false, ..DEBIAN };
        assert!(plan_engine(&fedora, false).describe().starts_with("install Docker Engine"));
        let mac = SetupMachine { linux: false, debian: false, root: false, rustup: true };
        assert!(plan_engine(&mac, false).describe().contains("Docker Desktop"));
    }

    #[test]
    fn versions_are_parsed_from_the_output_of_plugins() {
        assert_eq!(version_in("Docker Compose version v2.26.1-4"), Some(("2.26.1-4", (2, 26))));
        assert_eq!(version_in("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3"), Some(("0.13.1+ds1", (0, 13))));
        assert_eq!(version_in("docker: 'compose' is not a docker command"), None);
    }

    #[test]
    fn a_recent_plugin_is_accepted_and_an_old_one_is_replaced() {
        assert!(
            matches!(judge_plugin(&DEBIAN, &BUILDX, "buildx v0.20.0 abc"), SetupProbe::Ok(found) if found == "0.20.0")
        );
        let SetupProbe::Missing { found, plan } = judge_plugin(&DEBIAN, &BUILDX, "buildx v0.9.1 abc") else { panic!() };
        assert_eq!(found, "0.9.1, but older ones have no --progress=rawjson");
        assert_eq!(plan.describe(), "run `scripts/engine/install-debian.sh --buildx`");
    }

    #[test]
    fn the_user_is_advised_where_a_missing_plugin_cannot_be_installed() {
        let user = SetupMachine { root: false, ..DEBIAN };
        let SetupProbe::Missing { found, plan } = judge_plugin(&user, &COMPOSE, "") else { panic!() };
        assert_eq!((found.as_str(), plan.describe().as_str()), ("none", "install docker compose 2.0 or newer"));
    }

    #[test]
    fn a_program_is_installed_by_the_package_of_its_name() {
        assert!(matches!(judge_program(&DEBIAN, "jq", true), SetupProbe::Ok(found) if found == "jq"));
        let SetupProbe::Missing { found, plan } = judge_program(&DEBIAN, "jq", false) else { panic!() };
        assert!(found == "no jq" && plan.describe().ends_with("--no-install-recommends jq`"), "{}", plan.describe());
        let user = SetupMachine { root: false, ..DEBIAN };
        let SetupProbe::Missing { plan, .. } = judge_program(&user, "jq", false) else { panic!() };
        assert_eq!(plan.describe(), "install jq, so that it is on the PATH");
    }

    #[tokio::test]
    async fn a_requirement_has_a_version_or_a_way_to_get_it() {
        let found = requirement(&["bash".into()], "Bash").await;
        assert!(matches!(found, SetupProbe::Ok(version) if version.starts_with("GNU bash, version")));
        let SetupProbe::Missing { found, plan } = requirement(&["no-such-program".into()], "It").await else {
            panic!()
        };
        assert_eq!(
            (found.as_str(), plan.describe().as_str()),
            ("no no-such-program", "install It, so that it is on the PATH")
        );
    }

    #[test]
    fn a_browser_is_installed_where_its_package_is_known_and_advised_elsewhere() {
        assert!(
            matches!(judge_browser(&DEBIAN, Some("google-chrome")), SetupProbe::Ok(found) if found == "google-chrome")
        );
        let SetupProbe::Missing { plan, .. } = judge_browser(&DEBIAN, None) else { panic!() };
        assert!(plan.describe().ends_with("`apt-get install -q -y --no-install-recommends chromium`"));
        let user = SetupMachine { root: false, ..DEBIAN };
        let SetupProbe::Missing { plan, .. } = judge_browser(&user, None) else { panic!() };
        assert!(plan.describe().starts_with("install Chromium or Chrome"));
    }
}
