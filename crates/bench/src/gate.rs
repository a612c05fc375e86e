//! From a container's start until it becomes the server, and until that answers.

use std::time::Duration;

use anyhow::{Context as _, bail};
use contract::DEFAULT_PORT;

use acceptance::container::BootSpec;
use acceptance::container::Container;

use super::baseline::Contender;
use super::lab::{Lab, PATIENCE};
use super::model::Figures;
use super::moment::Moment;
use grammar::Part;

use super::names;

/// How often a server is asked whether it serves.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Measures both in turns: on an empty database, then again on the same.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for _ in 0..runs {
        for who in Contender::BOTH {
            let database = lab.empty().await?;
            for (gate, serve) in [(names::COLD_GATE, names::COLD_SERVE), (names::WARM_GATE, names::WARM_SERVE)] {
                let (ready, serving) = start(lab, who, lab.container(who, &database)).await?;
                figures.seconds(Part::Gate, gate, who.by(), ready);
                figures.seconds(Part::Gate, serve, who.by(), serving);
            }
            lab.drop_database(&database).await?;
        }
    }
    Ok(())
}

/// Seconds from the start to the server's exec, and to its first answer.
pub(crate) async fn start(lab: &Lab, who: Contender, spec: BootSpec) -> anyhow::Result<(f64, f64)> {
    let container = lab.start(spec).await?;
    let ready = lab.ready(who, &container).await?;
    let serving = serving(lab, &container).await?;
    let started = lab.started(&container).await?;
    lab.remove(&container).await?;
    Ok((ready.seconds_since(started), serving.seconds_since(started)))
}

/// When its server first answers. A container that ends instead is an error.
async fn serving(lab: &Lab, container: &Container) -> anyhow::Result<Moment> {
    let port = lab.setting.engine.published_port(&container.id, DEFAULT_PORT).await?;
    let answers = async {
        while !testbed::api::ping(port).await {
            tokio::time::sleep(ASK_EVERY).await;
        }
        Moment::now()
    };
    tokio::select! {
        moment = tokio::time::timeout(PATIENCE, answers) => {
            moment.with_context(|| format!("it does not serve within {} s", PATIENCE.as_secs()))
        }
        ended = lab.ended(container) => {
            let ended = ended?;
            bail!("it ended with {} before it served: {}", ended.code, ended.last_line())
        }
    }
}
