//! Several containers that boot on one database at the same time.

use futures_util::future::try_join_all;

use acceptance::container::Container;
use acceptance::database::TestDatabase;

use super::baseline::Contender;
use super::harness::Harness;
use super::model::Figures;
use super::stats::Unit;
use super::timestamp::Timestamp;
use grammar::BenchPart;

use super::metrics;

/// Numbers of containers.
const COUNTS: [usize; 3] = [1, 5, 10];

/// Measures both in turns, on an empty database and on one that is up to date.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for count in COUNTS {
        for _ in 0..runs {
            for who in Contender::BOTH {
                for state in ["cold", "warm"] {
                    let database = if state == "cold" { harness.empty().await? } else { harness.booted(who).await? };
                    let (succeeded, last) = start(harness, who, &database, count).await?;
                    let what = format!("{count} at once, {state}");
                    if let Some(seconds) = last {
                        figures.seconds(BenchPart::Replicas, &what, who.subject(), seconds);
                    }
                    figures.add(
                        BenchPart::Replicas,
                        &metrics::survive(&what),
                        who.subject(),
                        Unit::Count,
                        succeeded as f64,
                    );
                    harness.drop_database(&database).await?;
                }
            }
        }
    }
    Ok(())
}

/// Returns the number of containers that succeed, and the seconds from the first start until the last of them is done.
async fn start(
    harness: &Harness,
    who: Contender,
    database: &TestDatabase,
    count: usize,
) -> anyhow::Result<(usize, Option<f64>)> {
    let mut containers = Vec::new();
    for _ in 0..count {
        containers.push(harness.create(harness.boot_only(who, database)).await?);
    }
    try_join_all(containers.iter().map(Container::restart)).await?;
    let waits = containers.iter().map(|container| harness.wait_for_line(container, |line| who.is_ready(line)));
    let ready = try_join_all(waits).await?;
    let (mut first, mut last, mut succeeded): (Option<Timestamp>, Option<Timestamp>, usize) = (None, None, 0);
    for (container, ready) in containers.iter().zip(ready) {
        let started = harness.started(container).await?;
        first = Some(first.map_or(started, |first| first.min(started)));
        if harness.ended(container).await?.code == 0 {
            succeeded += 1;
            last = last.max(ready);
        }
        harness.remove(container).await?;
    }
    Ok((succeeded, first.zip(last).map(|(first, last)| last.seconds_since(first))))
}
