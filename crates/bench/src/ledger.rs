//! Warm boots with a growing number of applied migrations.

use anyhow::ensure;
use contract::BINARY;

use super::baseline::Contender;
use super::harness::Harness;
use super::model::Figures;
use grammar::BenchPart;

use super::{metrics, migrations};

/// Numbers of migrations in addition to the image's own.
const LENGTHS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Largest number for the shell, which starts several processes per migration at every boot.
const MOST_FOR_SHELL: usize = 1_000;

fn is_measured(who: Contender, length: usize) -> bool {
    who == Contender::Ours || length <= MOST_FOR_SHELL
}

/// Measures both in turns, length by length.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let mut idle = Vec::new();
    for who in Contender::BOTH {
        let database = harness.booted(who).await?;
        migrations::make_table(&database).await?;
        idle.push((who, harness.idle(who, &database).await?, database));
    }
    let mut applied = 0;
    for length in LENGTHS {
        let files = migrations::files(applied + 1..=length);
        for (who, container, _) in idle.iter().filter(|(who, ..)| is_measured(*who, length)) {
            harness.suite.engine.upload(&container.id, &files).await?;
            if *who == Contender::Ours {
                // As in the build of the image; the folder belongs to root.
                let engine = &harness.suite.engine;
                let (code, output) = engine.exec_as(&container.id, Some("root"), &[BINARY, "manifest"]).await?;
                ensure!(code == 0, "failed to write the manifest: {output}");
            }
            // The first boot applies the files.
            harness.clock(container, 1, &who.boot_command()).await?;
        }
        applied = length;
        for _ in 0..runs {
            for (who, container, _) in idle.iter().filter(|(who, ..)| is_measured(*who, length)) {
                for seconds in harness.clock(container, 1, &who.boot_command()).await?.seconds {
                    figures.seconds(BenchPart::Ledger, &metrics::ledger(length), who.subject(), seconds);
                }
            }
        }
    }
    for (_, container, database) in &idle {
        harness.remove(container).await?;
        harness.drop_database(database).await?;
    }
    Ok(())
}
