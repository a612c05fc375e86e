//! A warm boot with ever more applied migrations.

use anyhow::ensure;
use contract::BINARY;

use super::baseline::Contender;
use super::lab::Lab;
use super::model::Figures;
use grammar::Part;

use super::{migrations, names};

/// How many.
const LENGTHS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Where the shell is left out: it starts two processes for each migration, at every boot.
const MOST_FOR_SHELL: usize = 1_000;

/// Measures both in turns, length by length.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let mut idle = Vec::new();
    for who in Contender::BOTH {
        let database = lab.booted(who).await?;
        migrations::make_table(&database).await?;
        idle.push((who, lab.idle(who, &database).await?, database));
    }
    let mut applied = 0;
    for length in LENGTHS {
        let files = migrations::files(applied + 1..=length);
        let measured = |who| who == Contender::Ours || length <= MOST_FOR_SHELL;
        for (who, container, _) in idle.iter().filter(|(who, ..)| measured(*who)) {
            lab.setting.engine.upload(&container.id, &files).await?;
            if *who == Contender::Ours {
                // As the image's build does, where the folder is still root's.
                let note = lab.setting.engine.exec_as(&container.id, Some("root"), &[BINARY, "manifest"]).await?;
                ensure!(note.0 == 0, "the note about the files was not written: {}", note.1);
            }
            // Applies them.
            lab.clock(container, 1, &who.boot_command()).await?;
        }
        applied = length;
        for _ in 0..runs {
            for (who, container, _) in idle.iter().filter(|(who, ..)| measured(*who)) {
                for seconds in lab.clock(container, 1, &who.boot_command()).await?.seconds {
                    figures.seconds(Part::Ledger, &names::ledger(length), who.by(), seconds);
                }
            }
        }
    }
    for (_, container, database) in &idle {
        lab.remove(container).await?;
        lab.drop_database(database).await?;
    }
    Ok(())
}
