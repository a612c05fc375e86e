//! The engine of the swarm: a second one in separate namespaces, which `scripts/engine/second.sh` starts and ends.

use std::process::ExitCode;

use anyhow::Context as _;
use camino::Utf8PathBuf;
use testbed::base_images::BaseImage;
use testbed::engine::Engine;
use testbed::{setup, workspace};

/// The variable with the address of the second engine, which the script sets for its command.
const SECOND_ENGINE: &str = "SECOND_ENGINE";

/// Returns true in a run that the script started, with the second engine as its own.
pub(crate) fn is_in_second_engine() -> bool {
    let second = std::env::var(SECOND_ENGINE);
    second.is_ok_and(|second| std::env::var("DOCKER_HOST").is_ok_and(|host| host == second))
}

/// The folder of the reports, and of what the checks deploy.
pub(crate) fn folder() -> Utf8PathBuf {
    workspace::target_dir().join("swarm")
}

/// The images of Redis and of the proxy.
pub(crate) async fn other_images(engine: &Engine) -> anyhow::Result<[String; 2]> {
    let redis = BaseImage::redis().resolve(engine).await?.name;
    Ok([redis, setup::obtained(engine, BaseImage::proxy()).await?.name])
}

/// Replaces this process with the script, which runs the same command line in a second engine with the image and the
/// others that the checks need. `is_built` is true if the command line does not name the image.
#[cfg(unix)]
pub(crate) async fn in_second_engine(engine: &Engine, image: &str, is_built: bool) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;

    let database = setup::test_database(engine, None).await?.name;
    let program = std::env::current_exe().context("failed to find this program")?;
    let mut command = std::process::Command::new(workspace::path("scripts/engine/second.sh"));
    command.args([image, &database]).args(other_images(engine).await?).arg("--").arg(program);
    command.args(std::env::args_os().skip(1));
    if is_built {
        command.args(["--image", image]);
    }
    Err(command.exec()).context("failed to start a second engine")
}

/// Namespaces are Linux' own.
#[cfg(not(unix))]
pub(crate) async fn in_second_engine(_: &Engine, _: &str, _: bool) -> anyhow::Result<ExitCode> {
    anyhow::bail!("a second engine needs Linux")
}
