//! Rows that must not vanish: making them, and telling whether they are all still there.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::database::Database;
use testbed::api::Api;

/// A table that no migration, snapshot or Directus knows.
pub(crate) const UNTRACKED: &str = "team_spreadsheet";

/// What is in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// How many rows.
    rows: i64,
    /// Over all of them.
    hash: String,
}

/// Every table that is not Directus' own and what is in it: whatever anybody could miss.
pub(crate) async fn fingerprints(database: &Database) -> anyhow::Result<BTreeMap<String, Fingerprint>> {
    let client = database.connect().await?;
    let tables = client
        .query(
            "select quote_ident(relname) from pg_catalog.pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname not like 'directus\\_%'",
            &[],
        )
        .await
        .context("failed to list tables")?;
    let mut found = BTreeMap::new();
    for table in tables {
        let table: String = table.get(0);
        let query = format!(
            "select count(*), coalesce(encode(sha256(convert_to(string_agg(t::text, E'\\n' order by t::text), 'UTF8')), \
             'hex'), '') from public.{table} t"
        );
        let row = client.query_one(&query, &[]).await.with_context(|| format!("failed to read {table}"))?;
        found.insert(table, Fingerprint { rows: row.get(0), hash: row.get(1) });
    }
    Ok(found)
}

/// An error that names every table that is gone, new, or has other rows.
pub(crate) fn unchanged(
    before: &BTreeMap<String, Fingerprint>,
    after: &BTreeMap<String, Fingerprint>,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for (table, before) in before {
        match after.get(table) {
            None => found.push(format!("table {table} with {} rows is gone", before.rows)),
            Some(after) if after.rows != before.rows => {
                found.push(format!("{table} had {} rows and has {}", before.rows, after.rows));
            }
            Some(after) if after.hash != before.hash => found.push(format!("rows of {table} have changed")),
            Some(_) => {}
        }
    }
    found.extend(after.keys().filter(|table| !before.contains_key(*table)).map(|table| format!("{table} is new")));
    ensure!(found.is_empty(), "{}", found.join("; "));
    Ok(())
}

/// `14 rows in 12 of 13 tables: positions 1000, …`
pub(crate) fn describe(tables: &BTreeMap<String, Fingerprint>) -> String {
    let filled: Vec<_> = tables.iter().filter(|(_, fingerprint)| fingerprint.rows > 0).collect();
    let rows: i64 = filled.iter().map(|(_, fingerprint)| fingerprint.rows).sum();
    let each: Vec<String> = filled.iter().map(|(table, fingerprint)| format!("{table} {}", fingerprint.rows)).collect();
    format!("{rows} rows in {} of {} tables: {}", filled.len(), tables.len(), each.join(", "))
}

/// What others than Directus write: a day of positions, and a table that nobody told the image of.
pub(crate) async fn track(database: &Database) -> anyhow::Result<()> {
    database
        .execute(&format!(
            "insert into public.positions (device_id, ts, latitude, longitude, altitude, angle, speed, satellites,
                                           priority, codec, attributes)
             select '350000000000' || d, '2026-06-06'::timestamptz + n * interval '1 minute', 41.3 + n / 1e4,
                    19.8 + n / 1e4, 110, n % 360, 87.5, 11, 0, '8E', jsonb_build_object('ignition', true, 'odometer', n)
             from generate_series(301, 302) d, generate_series(1, 500) n;
             create table public.{UNTRACKED} (id integer primary key, note text);
             insert into public.{UNTRACKED} select n, 'note ' || n from generate_series(1, 7) n;"
        ))
        .await
}

/// An entry and all that it takes, through the REST API; returns its id.
pub(crate) async fn register(api: &Api) -> anyhow::Result<String> {
    let create = async |collection: &str, item: Value| -> anyhow::Result<String> {
        let made = api.post(&format!("/items/{collection}"), item).await?;
        made["id"].as_str().map(str::to_owned).with_context(|| format!("a new item of {collection} has no id: {made}"))
    };
    let user = api.get("/users/me?fields=id").await?["id"].clone();
    let organization =
        create("organizations", json!({ "name": "Motorsport Club Albania", "slug": "msc-albania" })).await?;
    let role = json!({ "organization_id": organization, "user_id": user, "role": "race-director" });
    create("organization_users", role).await?;
    let event = json!({
        "organization_id": organization, "name": "Rally Albania 2026", "slug": "rally-albania-2026",
        "discipline": "rally", "starts_at": "2026-06-06T06:00:00Z", "ends_at": "2026-06-13T18:00:00Z",
    });
    let event = create("events", event).await?;
    let class = create("classes", json!({ "event_id": event, "code": "C-1", "name": "Cars – größer" })).await?;
    let vehicle = json!({ "make": "Toyota", "model": "Land Cruiser 70", "year": 1998, "displacement_cc": 4500,
        "plate": "AA-001-AA" });
    let vehicle = create("vehicles", vehicle).await?;
    create("organization_vehicles", json!({ "organization_id": organization, "vehicle_id": vehicle })).await?;
    let device = create("devices", json!({ "imei": "350000000000301", "model": "FMB920" })).await?;
    create("organization_devices", json!({ "organization_id": organization, "device_id": device })).await?;
    let entry = json!({ "event_id": event, "class_id": class, "vehicle_id": vehicle, "race_number": 301,
        "team_name": "Team Shqiponja", "status": "confirmed" });
    let entry = create("entries", entry).await?;
    create("entry_crew", json!({ "entry_id": entry, "user_id": user, "role": "pilot" })).await?;
    create("entry_devices", json!({ "entry_id": entry, "device_id": device, "assigned_user_id": user })).await?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Fingerprint, unchanged};

    fn tables(content: [(&str, i64, &str); 2]) -> BTreeMap<String, Fingerprint> {
        content.map(|(table, rows, hash)| (table.to_owned(), Fingerprint { rows, hash: hash.to_owned() })).into()
    }

    #[test]
    fn rows_that_are_gone_or_others_are_named() {
        let before = tables([("a", 2, "x"), ("b", 1, "y")]);
        assert!(unchanged(&before, &before).is_ok());
        let said = |after| unchanged(&before, &after).unwrap_err().to_string();
        assert_eq!(said(tables([("a", 1, "z"), ("b", 1, "z")])), "a had 2 rows and has 1; rows of b have changed");
        assert_eq!(said(tables([("a", 2, "x"), ("c", 0, "")])), "table b with 1 rows is gone; c is new");
    }
}
