//! `ci`: everything that CI runs, so that CI installs and knows nothing else.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cmd::Cmd;
use crate::{flags, setup, tidy, ui};

use super::{docs, test, verify};

/// The steps, in order: the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Setup,
    Format,
    Lint,
    Docs,
    Tidy,
    Scripts,
    Test,
    Verify,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Setup => "setup",
            Step::Format => "fmt",
            Step::Lint => "clippy",
            Step::Docs => "docs",
            Step::Tidy => "tidy",
            Step::Scripts => "scripts",
            Step::Test => "test",
            Step::Verify => "verify",
        }
    }

    /// `strict`: whether a check that cannot be made here fails the run.
    async fn run(self, strict: bool) -> anyhow::Result<()> {
        let cargo = Cmd::cargo;
        match self {
            Step::Setup => setup::go_through(setup::Wanted { act: true, browser: true }).await.map(drop),
            Step::Format => cargo().args(["fmt", "--all", "--check"]).stdout_is_the_result().run().await,
            Step::Lint => {
                let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
                cargo().args(clippy).run().await
            }
            Step::Docs => docs::check(),
            Step::Tidy => tidy::check(),
            Step::Scripts => test::test_scripts().await,
            Step::Test => test::test(&[]).await,
            Step::Verify => gate(strict).await,
        }
    }
}

/// Builds the image and judges it. A machine that was set up here has all that the checks need.
async fn gate(strict: bool) -> anyhow::Result<()> {
    let code = verify::run(&flags::Verify { strict, ..flags::Verify::default() }).await?;
    ensure!(code == ExitCode::SUCCESS, "the image may not ship: see the failed checks above");
    Ok(())
}

/// Runs `ci`.
pub(crate) async fn run(flags: &flags::Ci) -> anyhow::Result<ExitCode> {
    let steps = [Step::Format, Step::Lint, Step::Docs, Step::Tidy, Step::Scripts, Step::Test, Step::Verify];
    let mut rows = Vec::new();
    let mut failed = false;
    for step in flags.setup.then_some(Step::Setup).into_iter().chain(steps) {
        let began = Instant::now();
        // A failed step does not end it: one run shows all that is wrong. Without the machine's setup nothing can work.
        let result = step.run(flags.setup).await;
        if let Err(error) = &result {
            ui::error(&format!("{}: {error:#}", step.name()));
        }
        failed |= result.is_err();
        rows.push(row(step, result.is_ok(), began.elapsed()));
        if step == Step::Setup && result.is_err() {
            break;
        }
    }
    ui::result(&ui::columns(&rows));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn row(step: Step, ok: bool, took: Duration) -> [String; 3] {
    [step.name().to_owned(), if ok { "ok" } else { "FAILED" }.to_owned(), ui::seconds(took)]
}
