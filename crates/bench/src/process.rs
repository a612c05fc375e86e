//! The boot as a process in a running container: the start of a container takes hundreds of milliseconds, which would
//! hide a boot of a few.

use super::baseline::Contender;
use super::harness::Harness;
use super::model::{Figures, Subject};
use grammar::BenchPart;

use super::metrics;

/// Measurements per turn of fast commands.
const QUICK: usize = 10;
/// Duration in seconds above which a command is measured once per turn.
const SLOW: f64 = 0.2;

/// Measures all commands in turns.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let (ours_database, shell_database) =
        (harness.booted(Contender::Ours).await?, harness.booted(Contender::Shell).await?);
    let ours = harness.idle(Contender::Ours, &ours_database).await?;
    let shell = harness.idle(Contender::Shell, &shell_database).await?;
    let [ours_boot, shell_boot] = Contender::BOTH.map(Contender::boot_command);
    let connect: [&str; 2] = [super::harness::PROBE, "connect"];
    let select = ["psql", "--no-psqlrc", "--quiet", "--command", "select 1"];
    let measured: [(&str, Subject, _, &[&str]); 5] = [
        (metrics::NOTHING, Subject::Ours, &ours, &["true"]),
        (metrics::CONNECT, Subject::Connect, &ours, &connect),
        (metrics::SELECT, Subject::Psql, &shell, &select),
        (metrics::WARM_BOOT, Subject::Ours, &ours, &ours_boot),
        (metrics::WARM_BOOT, Subject::Shell, &shell, &shell_boot),
    ];
    // Not recorded: these runs fill the page cache, and show how long each command takes.
    let mut times = Vec::new();
    for (_, _, container, command) in &measured {
        let first = harness.clock(container, 2, command).await?.seconds;
        times.push(if first[1] > SLOW { 1 } else { QUICK });
    }
    for _ in 0..runs {
        for ((what, subject, container, command), times) in measured.iter().zip(&times) {
            for seconds in harness.clock(container, *times, command).await?.seconds {
                figures.seconds(BenchPart::Process, what, *subject, seconds);
            }
        }
    }
    for (container, database) in [(&ours, &ours_database), (&shell, &shell_database)] {
        harness.remove(container).await?;
        harness.drop_database(database).await?;
    }
    Ok(())
}
