//! The migrations that were applied to a database: `boot.migrations`, or the table of an older runner, which is adopted.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio_postgres::{Client, GenericClient};

use super::{MigrationFile, MigrationSet};
use contract::{POST_SCHEMA_SUBDIR, Phase};

/// The table of the shell runner that applied migrations before this boot existed.
pub(super) const FOREIGN: &str = "public.migrations_applied";
/// Possible names of the column with the file name; the first that exists is used.
const NAME_COLUMNS: [&str; 6] = ["filename", "file_name", "name", "file", "migration", "version"];
/// Possible names of the column with the checksum.
const CHECKSUM_COLUMNS: [&str; 4] = ["checksum", "sha256", "hash", "md5"];

/// A SQL expression for the number of ledger rows and the sum of the transaction IDs that wrote them. Every change of the
/// ledger changes it; see [`mod@crate::directus::fingerprint`].
pub(crate) const LEDGER_STAMPS: &str = "(select concat(count(*), '+', sum(xmin::text::bigint)) from boot.migrations)";

/// Returns a SQL expression for the digest of a phase's ledger; see [`super::manifest::Part::ledger`].
pub(crate) fn ledger_digest(phase: Phase) -> String {
    format!(
        "(select encode(sha256(convert_to(string_agg(filename || ' ' || checksum, E'\\n'
             order by filename collate \"C\"), 'UTF8')), 'hex') from boot.migrations where phase = '{phase}')"
    )
}

/// One applied migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `001_extensions.sql`.
    pub filename: String,
    /// SHA-256 over the EOL-normalised text, in hex.
    pub checksum: String,
    /// Images without this file can no longer serve.
    pub breaks_older_images: bool,
    /// The image that applied it.
    pub image: String,
}

impl LedgerRow {
    /// The row that records the file as applied by that image.
    #[must_use]
    pub fn of(file: &MigrationFile, image: &str) -> LedgerRow {
        LedgerRow {
            filename: file.filename.clone(),
            checksum: file.checksum.clone(),
            breaks_older_images: file.directives.breaks_older_images,
            image: image.to_owned(),
        }
    }
}

/// The applied migrations of both phases. Reading it writes nothing: rows of an older runner are used as they are until
/// [`reconcile_ledger`](super::reconcile_ledger()) copies them into our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(super) db_init: Vec<LedgerRow>,
    pub(super) post_schema: Vec<LedgerRow>,
    pub(super) adoption: Option<Adoption>,
}

/// The pending adoption of an older runner's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Adoption {
    /// Names in its table that are not files of this image.
    pub(super) unknown: Vec<String>,
}

impl Ledger {
    /// Reads the ledger, or if it is empty or missing, the table of the older runner.
    ///
    /// # Errors
    /// The driver's.
    pub async fn read(client: &Client, migrations: &MigrationSet) -> Result<Ledger, tokio_postgres::Error> {
        let row = client
            .query_one("select to_regclass('boot.migrations') is not null, to_regclass($1) is not null", &[&FOREIGN])
            .await?;
        let (ours, foreign): (bool, bool) = (row.get(0), row.get(1));
        let mut ledger = Ledger::default();
        if ours {
            // Ledgers of older boots lack the column.
            let rows = client
                .query(
                    "select phase, filename, checksum,
                            coalesce((to_jsonb(m) ->> 'breaks_older_images')::boolean, false), image
                     from boot.migrations m order by filename collate \"C\"",
                    &[],
                )
                .await?;
            for row in &rows {
                let phase = Phase::from_name(row.get(0)).unwrap_or(Phase::DbInit);
                let row = LedgerRow {
                    filename: row.get(1),
                    checksum: row.get(2),
                    breaks_older_images: row.get(3),
                    image: row.get(4),
                };
                ledger.rows(phase).push(row);
            }
            if !rows.is_empty() {
                return Ok(ledger);
            }
        }
        Ok(if foreign { Ledger::adopting(&foreign_rows(client).await?, migrations) } else { ledger })
    }

    /// The applied migrations of that phase, ordered by file name.
    #[must_use]
    pub fn of(&self, phase: Phase) -> &[LedgerRow] {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    fn rows(&mut self, phase: Phase) -> &mut Vec<LedgerRow> {
        if phase == Phase::PostSchema { &mut self.post_schema } else { &mut self.db_init }
    }

    /// Builds the ledger that corresponds to the rows of an older runner.
    fn adopting(rows: &[ForeignRow], migrations: &MigrationSet) -> Ledger {
        let mut checksums: BTreeMap<(Phase, &str), Vec<&str>> = BTreeMap::new();
        let mut unknown = Vec::new();
        let known: HashSet<(Phase, &str)> = [Phase::DbInit, Phase::PostSchema]
            .into_iter()
            .flat_map(|phase| migrations.of(phase).iter().map(move |file| (phase, file.filename.as_str())))
            .collect();
        for row in rows {
            let (folder, filename) = row.name.rsplit_once('/').unwrap_or(("", &row.name));
            let phases: &[Phase] = if folder.rsplit('/').next() == Some(POST_SCHEMA_SUBDIR) {
                &[Phase::PostSchema]
            } else {
                &[Phase::DbInit, Phase::PostSchema]
            };
            match phases.iter().copied().find(|phase| known.contains(&(*phase, filename))) {
                Some(phase) => checksums.entry((phase, filename)).or_default().extend(row.checksum.as_deref()),
                None => unknown.push(row.name.clone()),
            }
        }
        let adoption = (!rows.is_empty()).then_some(Adoption { unknown });
        let mut ledger = Ledger { adoption, ..Ledger::default() };
        for phase in [Phase::DbInit, Phase::PostSchema] {
            for file in migrations.of(phase) {
                let Some(noted) = checksums.get(&(phase, file.filename.as_str())) else { continue };
                let ours = file.foreign_checksums();
                // The table may list a file twice; one matching checksum is enough.
                let matches = noted.is_empty() || noted.iter().any(|checksum| ours.iter().any(|our| our == checksum));
                let mut row = LedgerRow::of(file, FOREIGN);
                if let Some(checksum) = noted.first().filter(|_| !matches) {
                    (*checksum).clone_into(&mut row.checksum);
                }
                ledger.rows(phase).push(row);
            }
        }
        ledger
    }
}

/// A row of the older runner's table.
#[derive(Debug)]
struct ForeignRow {
    name: String,
    /// SHA-256 in lower-case hex; None for any other checksum.
    checksum: Option<String>,
}

async fn foreign_rows(client: &Client) -> Result<Vec<ForeignRow>, tokio_postgres::Error> {
    let columns = client
        .query(
            "select attname::text from pg_catalog.pg_attribute
             where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
            &[&FOREIGN],
        )
        .await?;
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let Some(name) = first_present(&NAME_COLUMNS, &columns) else { return Ok(Vec::new()) };
    let checksum = first_present(&CHECKSUM_COLUMNS, &columns);
    let checksum = checksum.map_or("null".to_owned(), |column| format!("\"{column}\"::text"));
    let rows = client
        .query(
            &format!("select \"{name}\"::text, {checksum} from {FOREIGN} where \"{name}\" is not null order by 1"),
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| ForeignRow { name: row.get(0), checksum: row.get::<_, Option<&str>>(1).and_then(as_sha256) })
        .collect())
}

fn first_present<'a>(names: &[&'a str], columns: &[String]) -> Option<&'a str> {
    names.iter().copied().find(|name| columns.iter().any(|column| column == name))
}

fn as_sha256(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    (text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())).then_some(text)
}

/// Writes an applied migration into the ledger, inside the migration's transaction if it has one. The record of the objects
/// of the SQL files is then incomplete, see [`mod@crate::reconcile::owned`].
pub(super) async fn record(
    client: &impl GenericClient,
    phase: Phase,
    row: &LedgerRow,
    took: Duration,
) -> Result<(), tokio_postgres::Error> {
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    client
        .execute(
            "with incomplete as (update boot.snapshots set owned = null where owned is not null)
             insert into boot.migrations (phase, filename, checksum, duration_ms, image, breaks_older_images)
             values ($1, $2, $3, $4, $5, $6)",
            &[&phase.name(), &row.filename, &row.checksum, &ms, &row.image, &row.breaks_older_images],
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::file::hex_sha256;

    fn file(name: &str, sql: &str) -> MigrationFile {
        MigrationFile::parse(name, sql.as_bytes()).expect("a good file")
    }

    fn set() -> MigrationSet {
        MigrationSet {
            db_init: vec![file("001_a.sql", "select 1;\n"), file("002_b.sql", "select 2;\n")],
            post_schema: vec![file("001_a.sql", "select 3;\n"), file("002_c.sql", "select 4;\n")],
        }
    }

    fn adopted(rows: &[(&str, Option<&str>)]) -> Ledger {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, checksum)| ForeignRow { name: (*name).into(), checksum: checksum.map(Into::into) })
            .collect();
        Ledger::adopting(&rows, &set())
    }

    fn names(ledger: &Ledger, phase: Phase) -> Vec<&str> {
        ledger.of(phase).iter().map(|row| row.filename.as_str()).collect()
    }

    #[test]
    fn a_path_determines_the_phase_and_a_bare_name_is_looked_up() {
        let ledger = adopted(&[
            ("db-init/001_a.sql", None),
            ("002_c.sql", None),
            ("db-init/post-schema/001_a.sql", None),
            ("000_gone.sql", None),
        ]);
        assert_eq!(names(&ledger, Phase::DbInit), ["001_a.sql"]);
        assert_eq!(names(&ledger, Phase::PostSchema), ["001_a.sql", "002_c.sql"]);
        assert_eq!(ledger.adoption.expect("a pending adoption").unknown, ["000_gone.sql"]);
    }

    #[test]
    fn a_checksum_matches_with_any_line_ends_and_a_different_one_is_an_edit() {
        let set = set();
        let crlf = hex_sha256(b"select 1;\r\n");
        let other = "f".repeat(64);
        let ledger = adopted(&[("001_a.sql", Some(&crlf)), ("002_b.sql", Some(&other)), ("002_c.sql", None)]);
        assert_eq!(ledger.of(Phase::DbInit)[0].checksum, set.db_init[0].checksum);
        assert_eq!(ledger.of(Phase::DbInit)[1].checksum, other);
        assert_eq!(ledger.of(Phase::PostSchema)[0].checksum, set.post_schema[1].checksum);
        let refused = super::super::plan(&set.db_init, ledger.of(Phase::DbInit), None).expect_err("an edited file");
        assert!(refused.to_string().starts_with("002_b.sql was edited"), "{refused}");
    }

    #[test]
    fn a_file_listed_twice_needs_one_matching_checksum() {
        let (good, other) = (hex_sha256(b"select 1;\n"), "f".repeat(64));
        let ledger = adopted(&[("001_a.sql", Some(&other)), ("./001_a.sql", Some(&good))]);
        assert_eq!(ledger.of(Phase::DbInit)[0].checksum, good);
    }
}
