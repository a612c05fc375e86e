//! Demo data: items through Directus' REST API, and positions by COPY.
//!
//! A second run finds everything and changes nothing. Existing rows, settings and layouts stay as they are.

mod appearance;
mod data;
mod drive;
mod items;
mod positions;
mod road;
mod step;

use tokio_postgres::Config;

use crate::api::Api;
pub use data::DemoData;
pub use step::SeedStep;

/// Creates what is missing of the demo data, on a server and in its database. `progress` is called after each step.
///
/// # Errors
/// A server or database with another data model, before anything is created; an item that cannot be created. A step is
/// complete or not done, and the next run continues there.
pub async fn seed(
    api: &Api,
    database: &Config,
    data: &DemoData,
    mut progress: impl FnMut(&SeedStep),
) -> anyhow::Result<Vec<SeedStep>> {
    let mut steps = Vec::new();
    let mut done = |step: SeedStep| {
        progress(&step);
        steps.push(step);
    };
    items::check_model(api, &data.content).await?;
    for part in &data.content.collections {
        done(items::create_missing(api, &data.content, part).await?);
    }
    done(appearance::set_up_project(api, &data.content).await?);
    done(appearance::create_presets(api, &data.content).await?);
    done(positions::insert_missing(database, &data.positions).await?);
    Ok(steps)
}
