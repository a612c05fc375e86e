//! The boot as a process of a container that runs already: starting a container takes the engine hundreds of
//! milliseconds, beside which a boot of a few cannot be seen.

use super::baseline::Contender;
use super::lab::Lab;
use super::model::{By, Figures};
use grammar::Part;

use super::names;

/// How often in a turn, for what takes milliseconds.
const QUICK: usize = 10;
/// What takes longer than this is done once a turn.
const SLOW: f64 = 0.2;

/// Measures all in turns.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let (ours_database, shell_database) = (lab.booted(Contender::Ours).await?, lab.booted(Contender::Shell).await?);
    let ours = lab.idle(Contender::Ours, &ours_database).await?;
    let shell = lab.idle(Contender::Shell, &shell_database).await?;
    let [ours_boot, shell_boot] = Contender::BOTH.map(Contender::boot_command);
    let connect: [&str; 2] = [super::lab::PROBE, "connect"];
    let select = ["psql", "--no-psqlrc", "--quiet", "--command", "select 1"];
    let measured: [(&str, By, _, &[&str]); 5] = [
        (names::NOTHING, By::Ours, &ours, &["true"]),
        (names::CONNECT, By::Connect, &ours, &connect),
        (names::SELECT, By::Psql, &shell, &select),
        (names::WARM_BOOT, By::Ours, &ours, &ours_boot),
        (names::WARM_BOOT, By::Shell, &shell, &shell_boot),
    ];
    // Once without being counted: files come into memory, and it shows how long each takes.
    let mut times = Vec::new();
    for (_, _, container, command) in &measured {
        let first = lab.clock(container, 2, command).await?.seconds;
        times.push(if first[1] > SLOW { 1 } else { QUICK });
    }
    for _ in 0..runs {
        for ((what, by, container, command), times) in measured.iter().zip(&times) {
            for seconds in lab.clock(container, *times, command).await?.seconds {
                figures.seconds(Part::Process, what, *by, seconds);
            }
        }
    }
    for (container, database) in [(&ours, &ours_database), (&shell, &shell_database)] {
        lab.remove(container).await?;
        lab.drop_database(database).await?;
    }
    Ok(())
}
