//! `test`: runs all tests, with a PostgreSQL server and the variables that some of them need.

use std::process::ExitCode;

use anyhow::Context as _;
use testbed::base_images::BaseImage;
use testbed::cmd::Cmd;
use testbed::engine::Engine;
use testbed::migrations::CheckoutMigrations;
use testbed::session::EngineSession;
use testbed::setup;
use testbed::ui;
use testbed::{pooler, postgres};

/// Runs `test`.
pub(crate) async fn run(flags: &grammar::TestFlags) -> anyhow::Result<ExitCode> {
    run_tests(flags).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `cargo test` with a PostgreSQL server, which is removed afterwards in all cases.
async fn run_tests(flags: &grammar::TestFlags) -> anyhow::Result<()> {
    let engine = Engine::connect().await?;
    let image = setup::test_database(&engine, flags.postgres).await?;
    let session = EngineSession::start(&engine, "test").await?;
    ui::status("Starting", &format!("PostgreSQL ({})", image.name));
    let network = engine.create_network(session.id(), session.labels()).await?;
    let url = postgres::start(&engine, &session, &image, &network).await?;
    let poolers = pooler::start(&engine, &session, &BaseImage::pooler().resolve(&engine).await?, &network).await?;
    let server = url.parse().context("the server's URL is not valid")?;
    let options = CheckoutMigrations::read()?.session_options_for(&server).await?;
    let cmd = cargo_test(&flags.arguments)
        .env("TEST_DATABASE_URL", url)
        .env("TEST_POOLERS", poolers)
        .env("TEST_IMAGE", &image.name)
        .inherit_stdout();
    let cmd = if let Some(options) = options { cmd.env("PGOPTIONS", options) } else { cmd };
    cmd.run().await
}

/// Returns a `cargo test` of all packages, unless the arguments name some.
fn cargo_test(arguments: &[String]) -> Cmd {
    let mut own = arguments.iter().take_while(|argument| *argument != "--");
    let named = own.any(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    let cmd = Cmd::cargo().args(["test", "--locked"]);
    let cmd = if named { cmd } else { cmd.arg("--workspace") };
    cmd.args(arguments)
}

#[cfg(test)]
mod tests {
    use super::cargo_test;

    fn arguments(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        cargo_test(&arguments).to_string()
    }

    #[test]
    fn all_packages_are_tested_unless_some_are_named() {
        assert_eq!(arguments(&["--", "-p"]), "cargo test --locked --workspace -- -p");
        assert_eq!(arguments(&["-p", "entrypoint"]), "cargo test --locked -p entrypoint");
        assert_eq!(arguments(&["--package=entrypoint"]), "cargo test --locked --package=entrypoint");
    }
}
