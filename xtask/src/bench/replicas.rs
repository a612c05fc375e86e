//! Several containers of one database, started at the same moment.

use futures_util::future::try_join_all;

use crate::verify::Database;

use super::Part;
use super::baseline::Contender;
use super::lab::{Lab, PATIENCE};
use super::model::Figures;
use super::stats::Unit;

/// How many.
const COUNTS: [usize; 3] = [1, 5, 10];
/// Ten shells at once take minutes, which says enough after a few times.
const MOST_RUNS: usize = 3;

/// Measures both in turns, on an empty database and on one that is up to date.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for count in COUNTS {
        for _ in 0..runs.min(MOST_RUNS) {
            for who in Contender::BOTH {
                for state in ["cold", "warm"] {
                    let database = if state == "cold" { lab.empty().await? } else { lab.booted(who).await? };
                    let (alive, last) = start(lab, who, &database, count).await?;
                    let what = format!("{count} at once, {state}");
                    if let Some(seconds) = last {
                        figures.seconds(Part::Replicas, &what, who.by(), seconds);
                    }
                    let survived = format!("{what}: survive");
                    figures.add(Part::Replicas, &survived, who.by(), Unit::Count, alive as f64);
                    lab.drop_database(&database).await?;
                }
            }
        }
    }
    Ok(())
}

/// How many of them came through, and the seconds from the first start to the last of these.
async fn start(lab: &Lab, who: Contender, database: &Database, count: usize) -> anyhow::Result<(usize, Option<f64>)> {
    let mut containers = Vec::new();
    for _ in 0..count {
        containers.push(lab.create(lab.boot_only(who, database)).await?);
    }
    try_join_all(containers.iter().map(|container| container.restart())).await?;
    let ended = try_join_all(containers.iter().map(|container| container.ended(PATIENCE))).await?;
    let mut first = None;
    let mut last = None;
    for (container, ended) in containers.iter().zip(&ended) {
        let started = lab.started(container).await?;
        first = Some(first.map_or(started, |first: super::moment::Moment| first.min(started)));
        if ended.code == 0 {
            last = last.max(lab.said(container, |line| who.is_ready(line)).await?);
        }
        lab.remove(container).await?;
    }
    let alive = ended.iter().filter(|ended| ended.code == 0).count();
    Ok((alive, first.zip(last).map(|(first, last)| last.seconds_since(first))))
}
