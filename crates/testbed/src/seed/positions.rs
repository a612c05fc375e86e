//! Writes positions by COPY, past Directus, as a tracking service does.

use std::fmt::Write as _;
use std::io::Cursor;

use anyhow::{Context as _, bail};
use entrypoint::quote::identifier;
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

use super::data::{Positions, Quantity};
use super::drive::{self, TrackReport};
use super::step::SeedStep;

/// Inserts the positions that are missing, all or none.
pub(super) async fn insert_missing(server: &Config, positions: &Positions) -> anyhow::Result<SeedStep> {
    let (mut rows, mut count) = (String::new(), 0);
    for track in &positions.tracks {
        for report in drive::reports(&positions.route, track) {
            write_row(&mut rows, positions, &track.device, &report);
            count += 1;
        }
    }
    let created = copy(server, positions, rows).await?;
    Ok(SeedStep { name: positions.table.clone(), created, present: count - created })
}

/// Copies the rows to a temporary table, and inserts those whose key does not exist.
async fn copy(server: &Config, positions: &Positions, rows: String) -> anyhow::Result<u64> {
    let (mut client, connection) = server.connect(NoTls).await.context("failed to connect to PostgreSQL")?;
    let connection = tokio::spawn(connection);
    let table = &positions.table;
    let columns = quoted(positions.columns.keys());
    let transaction = client.transaction().await?;
    let staging = format!(
        "create temp table staging on commit drop as select {columns} from public.{} limit 0",
        identifier(table)
    );
    if let Err(error) = transaction.batch_execute(&staging).await {
        let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN];
        if error.code().is_some_and(|code| missing.contains(code)) {
            bail!("the database has another table for positions than the demo data: {}", reason(&error));
        }
        return Err(error).with_context(|| format!("failed to read {table}"));
    }
    let sink = transaction.copy_in(&format!("copy staging ({columns}) from stdin")).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(Cursor::new(rows.into_bytes())).await.context("failed to copy the positions")?;
    sink.finish().await.context("failed to copy the positions")?;
    let key = quoted(&positions.key);
    let insert = format!(
        "insert into public.{} ({columns}) select {columns} from staging on conflict ({key}) do nothing",
        identifier(table)
    );
    let inserted = transaction.execute(&insert, &[]).await;
    let inserted = inserted.map_err(|error| match error.code() {
        Some(&SqlState::INVALID_COLUMN_REFERENCE) => {
            anyhow::anyhow!(
                "{table} has no unique index on {key}, without which a second run would insert every row again"
            )
        }
        _ => anyhow::Error::new(error).context(format!("failed to insert into {table}")),
    })?;
    transaction.commit().await.with_context(|| format!("failed to insert into {table}"))?;
    drop(client);
    connection.await.context("the connection to PostgreSQL panicked")??;
    Ok(inserted)
}

/// Returns PostgreSQL's message alone.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

/// Adds a row in the text format of COPY.
fn write_row(rows: &mut String, positions: &Positions, device: &str, report: &TrackReport) {
    for (index, quantity) in positions.columns.values().enumerate() {
        let value = value(quantity, device, report).replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
        write!(rows, "{}{value}", if index == 0 { "" } else { "\t" }).expect("a string accepts every text");
    }
    rows.push('\n');
}

fn value(quantity: &Quantity, device: &str, report: &TrackReport) -> String {
    match quantity {
        Quantity::Device => device.to_owned(),
        Quantity::Time => report.time.to_string(),
        Quantity::Latitude => format!("{:.7}", report.latitude),
        Quantity::Longitude => format!("{:.7}", report.longitude),
        Quantity::Altitude => format!("{:.0}", report.altitude),
        Quantity::Course => format!("{:.0}", report.course.round() % 360.0),
        Quantity::Speed => format!("{:.0}", report.kmh),
        Quantity::Satellites => report.satellites.to_string(),
        Quantity::Attributes => json!({
            "ignition": report.ignition,
            "movement": report.kmh >= 1.0,
            "odometer": report.odometer.round() as i64,
        })
        .to_string(),
        Quantity::Value(Value::String(text)) => text.clone(),
        Quantity::Value(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::DemoData;
    use super::super::drive::reports;
    use super::write_row;

    #[test]
    fn a_row_has_a_value_for_each_column() {
        let positions = DemoData::own().unwrap().positions;
        let report = reports(&positions.route, &positions.tracks[0])[0];
        let mut rows = String::new();
        write_row(&mut rows, &positions, "a\tb\\", &report);
        assert!(rows.ends_with('\n') && rows.contains("a\\tb\\\\"), "{rows}");
        assert_eq!(rows.split('\t').count(), positions.columns.len());
    }

    #[test]
    fn every_tracker_of_the_positions_is_a_device_of_the_items() {
        let data = DemoData::own().unwrap();
        let items: Vec<_> = data.content.collections.iter().flat_map(|part| part.items.values()).collect();
        for track in &data.positions.tracks {
            let known = items.iter().any(|item| item.values().any(|value| *value == *track.device));
            assert!(known, "there is no item with {}", track.device);
        }
    }
}
