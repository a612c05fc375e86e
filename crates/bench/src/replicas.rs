//! Several containers of one database, started at the same moment.

use futures_util::future::try_join_all;

use acceptance::container::Container;
use acceptance::database::Database;

use super::baseline::Contender;
use super::lab::Lab;
use super::model::Figures;
use super::moment::Moment;
use super::stats::Unit;
use grammar::Part;

use super::names;

/// How many.
const COUNTS: [usize; 3] = [1, 5, 10];

/// Measures both in turns, on an empty database and on one that is up to date.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for count in COUNTS {
        for _ in 0..runs {
            for who in Contender::BOTH {
                for state in ["cold", "warm"] {
                    let database = if state == "cold" { lab.empty().await? } else { lab.booted(who).await? };
                    let (alive, last) = start(lab, who, &database, count).await?;
                    let what = format!("{count} at once, {state}");
                    if let Some(seconds) = last {
                        figures.seconds(Part::Replicas, &what, who.by(), seconds);
                    }
                    figures.add(Part::Replicas, &names::survive(&what), who.by(), Unit::Count, alive as f64);
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
    try_join_all(containers.iter().map(Container::restart)).await?;
    let ready = try_join_all(containers.iter().map(|container| lab.said(container, |line| who.is_ready(line)))).await?;
    let (mut first, mut last, mut alive): (Option<Moment>, Option<Moment>, usize) = (None, None, 0);
    for (container, ready) in containers.iter().zip(ready) {
        let started = lab.started(container).await?;
        first = Some(first.map_or(started, |first| first.min(started)));
        if lab.ended(container).await?.code == 0 {
            alive += 1;
            last = last.max(ready);
        }
        lab.remove(container).await?;
    }
    Ok((alive, first.zip(last).map(|(first, last)| last.seconds_since(first))))
}
