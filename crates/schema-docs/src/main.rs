//! Writes the page of the data model, or checks that it is up to date; `cargo xtask docs` starts it.

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser as _;
use grammar::{Xtask, XtaskCommand};
use schema_docs::ModelDocs;

fn main() -> ExitCode {
    match run(&Xtask::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &XtaskCommand) -> anyhow::Result<()> {
    let XtaskCommand::Docs(flags) = command else {
        bail!("this command belongs to another tool: run it with `cargo xtask`")
    };
    let docs = ModelDocs::generate()?;
    let stale = docs.stale();
    if flags.check && !stale.is_empty() {
        bail!("{} not up to date; `cargo xtask docs` writes them", stale.join(", "));
    }
    for file in stale {
        docs.write(file)?;
        println!("{file} is written");
    }
    Ok(())
}
