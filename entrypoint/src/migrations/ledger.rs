//! What was applied to a database: `boot.migrations`, or what an older runner noted, which is adopted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::{Client, GenericClient};

use super::{MigrationFile, MigrationSet};
use contract::{POST_SCHEMA_SUBDIR, Phase};

/// The table of the shell runner that did this work before.
pub(super) const FOREIGN: &str = "public.migrations_applied";
/// What its columns may be called; the first that is there counts.
const NAME_COLUMNS: [&str; 6] = ["filename", "file_name", "name", "file", "migration", "version"];
/// The same for its checksums.
const CHECKSUM_COLUMNS: [&str; 4] = ["checksum", "sha256", "hash", "md5"];

/// An expression for how many rows the ledger has and the sum of the transactions that wrote them, which every change
/// of it changes; see [`mod@crate::directus::fingerprint`].
pub(crate) const LEDGER_STAMPS: &str = "(select concat(count(*), '+', sum(xmin::text::bigint)) from boot.migrations)";

/// An expression for what the ledger of a phase comes to; see [`super::manifest::Part::ledger`].
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
    /// Whether images without this file cannot serve any more.
    pub breaks_older_images: bool,
    /// The image that applied it.
    pub image: String,
}

impl LedgerRow {
    /// The row that applying the file by that image writes.
    #[must_use]
    pub fn of(file: &MigrationFile, image: &str) -> LedgerRow {
        LedgerRow {
            filename: file.filename.clone(),
            checksum: file.checksum.clone(),
            breaks_older_images: file.headers.breaks_older_images,
            image: image.to_owned(),
        }
    }
}

/// What was applied in both phases. Reading it writes nothing: rows of an older runner's count as ours until
/// [`settle`](super::settle()) makes them ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(super) db_init: Vec<LedgerRow>,
    pub(super) post_schema: Vec<LedgerRow>,
    pub(super) adoption: Option<Adoption>,
}

/// What is yet to be taken over from an older runner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Adoption {
    /// Names in its table that are no file of this image.
    pub(super) unknown: Vec<String>,
}

impl Ledger {
    /// Reads the ledger, or where it is empty or not there, the older runner's.
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
            // Ledgers that are older than the column do not have it.
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

    /// What was applied in that phase, by file name.
    #[must_use]
    pub fn of(&self, phase: Phase) -> &[LedgerRow] {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    fn rows(&mut self, phase: Phase) -> &mut Vec<LedgerRow> {
        if phase == Phase::PostSchema { &mut self.post_schema } else { &mut self.db_init }
    }

    /// The ledger that an older runner's rows amount to.
    fn adopting(rows: &[ForeignRow], migrations: &MigrationSet) -> Ledger {
        let mut checksums: BTreeMap<(Phase, &str), Vec<&str>> = BTreeMap::new();
        let mut unknown = Vec::new();
        let names = |phase: Phase| migrations.of(phase).iter().map(move |file| (phase, file.filename.as_str()));
        let known: BTreeSet<(Phase, &str)> = names(Phase::DbInit).chain(names(Phase::PostSchema)).collect();
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
                // It may have noted a file twice; one good checksum is enough.
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

/// A row of the older runner.
#[derive(Debug)]
struct ForeignRow {
    name: String,
    /// In lower case; only SHA-256 counts.
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
    let first = |names: &[&'static str]| names.iter().copied().find(|name| columns.iter().any(|column| column == name));
    let Some(name) = first(&NAME_COLUMNS) else { return Ok(Vec::new()) };
    let checksum = first(&CHECKSUM_COLUMNS).map_or("null".to_owned(), |column| format!("\"{column}\"::text"));
    let rows = client
        .query(
            &format!("select \"{name}\"::text, {checksum} from {FOREIGN} where \"{name}\" is not null order by 1"),
            &[],
        )
        .await?;
    let sha256 = |text: String| {
        let text = text.trim().to_ascii_lowercase();
        (text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())).then_some(text)
    };
    Ok(rows
        .iter()
        .map(|row| ForeignRow { name: row.get(0), checksum: row.get::<_, Option<String>>(1).and_then(sha256) })
        .collect())
}

/// Writes an applied migration into the ledger; inside the migration's own transaction, if it has one.
pub(super) async fn record(
    client: &impl GenericClient,
    phase: Phase,
    row: &LedgerRow,
    took: Duration,
) -> Result<(), tokio_postgres::Error> {
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    client
        .execute(
            "insert into boot.migrations (phase, filename, checksum, duration_ms, image, breaks_older_images)
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

    fn set() -> MigrationSet {
        let file = |name: &str, sql: &str| MigrationFile::parse(name, sql.as_bytes()).expect("a good file");
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
    fn a_path_says_which_phase_and_a_bare_name_finds_its_own() {
        let ledger = adopted(&[
            ("db-init/001_a.sql", None),
            ("002_c.sql", None),
            ("db-init/post-schema/001_a.sql", None),
            ("000_gone.sql", None),
        ]);
        assert_eq!(names(&ledger, Phase::DbInit), ["001_a.sql"]);
        assert_eq!(names(&ledger, Phase::PostSchema), ["001_a.sql", "002_c.sql"]);
        assert_eq!(ledger.adoption.expect("there is something to adopt").unknown, ["000_gone.sql"]);
    }

    #[test]
    fn a_checksum_counts_in_any_line_end_and_another_one_is_an_edit() {
        let set = set();
        let crlf = hex_sha256(b"select 1;\r\n");
        let other = "f".repeat(64);
        let ledger = adopted(&[("001_a.sql", Some(&crlf)), ("002_b.sql", Some(&other)), ("002_c.sql", None)]);
        assert_eq!(ledger.of(Phase::DbInit)[0].checksum, set.db_init[0].checksum);
        assert_eq!(ledger.of(Phase::DbInit)[1].checksum, other);
        assert_eq!(ledger.of(Phase::PostSchema)[0].checksum, set.post_schema[1].checksum);
        let refused = super::super::plan(&set.db_init, ledger.of(Phase::DbInit), None).expect_err("it was edited");
        assert!(refused.to_string().starts_with("002_b.sql was edited"), "{refused}");
    }

    #[test]
    fn a_file_that_was_noted_twice_needs_one_good_checksum() {
        let (good, other) = (hex_sha256(b"select 1;\n"), "f".repeat(64));
        let ledger = adopted(&[("001_a.sql", Some(&other)), ("./001_a.sql", Some(&good))]);
        assert_eq!(ledger.of(Phase::DbInit)[0].checksum, good);
    }
}
