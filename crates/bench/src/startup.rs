//! Startup of a container: from its start to the exec of the server, and to the first answer.

use std::time::Duration;

use anyhow::{Context as _, bail};
use contract::DEFAULT_PORT;

use acceptance::container::BootSpec;
use acceptance::container::Container;

use super::baseline::Contender;
use super::harness::{Harness, TIMEOUT};
use super::model::Figures;
use super::timestamp::Timestamp;
use grammar::BenchPart;

use super::metrics;

/// Interval between two pings of a server.
const PING_INTERVAL: Duration = Duration::from_millis(20);

/// Measures both in turns: on an empty database, then again on the same.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for _ in 0..runs {
        for who in Contender::BOTH {
            let database = harness.empty().await?;
            for (gate, serve) in
                [(metrics::COLD_START, metrics::COLD_SERVE), (metrics::WARM_START, metrics::WARM_SERVE)]
            {
                let (ready, serving) = start(harness, who, harness.container(who, &database)).await?;
                figures.seconds(BenchPart::Startup, gate, who.subject(), ready);
                figures.seconds(BenchPart::Startup, serve, who.subject(), serving);
            }
            harness.drop_database(&database).await?;
        }
    }
    Ok(())
}

/// Returns the seconds from the start to the exec of the server, and to its first answer.
pub(crate) async fn start(harness: &Harness, who: Contender, spec: BootSpec) -> anyhow::Result<(f64, f64)> {
    let container = harness.start(spec).await?;
    let ready = harness.ready(who, &container).await?;
    let serving = serving(harness, &container).await?;
    let started = harness.started(&container).await?;
    harness.remove(&container).await?;
    Ok((ready.seconds_since(started), serving.seconds_since(started)))
}

/// Returns the time of the server's first answer.
///
/// # Errors
/// If the container ends first.
async fn serving(harness: &Harness, container: &Container) -> anyhow::Result<Timestamp> {
    let port = harness.suite.engine.published_port(&container.id, DEFAULT_PORT).await?;
    let answers = async {
        while !testbed::api::ping(port).await {
            tokio::time::sleep(PING_INTERVAL).await;
        }
        Timestamp::now()
    };
    tokio::select! {
        time = tokio::time::timeout(TIMEOUT, answers) => {
            time.with_context(|| format!("the server did not answer within {} s", TIMEOUT.as_secs()))
        }
        ended = harness.ended(container) => {
            let ended = ended?;
            bail!("the container ended with {} before the server answered: {}", ended.code, ended.last_line())
        }
    }
}
