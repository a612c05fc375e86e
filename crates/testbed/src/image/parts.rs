//! Checks of the image's parts before a build, by the rules of the boot.

use anyhow::ensure;
use contract::SNAPSHOT_FILE;
use entrypoint::migrations::MigrationSet;

use crate::migrations::CheckoutMigrations;
use crate::schema::DataModel;

/// Reads the migrations and the snapshot as the boot does, and checks that they do not contradict each other.
///
/// # Errors
/// Files that break the rules (all problems are listed), or a table of the snapshot that db-init owns.
pub(super) fn check() -> anyhow::Result<()> {
    check_owned_tables(&DataModel::snapshot()?, CheckoutMigrations::read()?.files())
}

/// Directus must not see a table that db-init owns, so the snapshot must not contain it.
fn check_owned_tables(snapshot: &DataModel, migrations: &MigrationSet) -> anyhow::Result<()> {
    for table in migrations.owned_tables() {
        ensure!(
            !snapshot.tables().contains(table),
            "{} contains the table {table}, which db-init owns: remove the table there, or the directive \
             `-- owns-table: {table}`",
            contract::in_tree(SNAPSHOT_FILE),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use entrypoint::migrations::MigrationFile;

    use super::*;

    #[test]
    fn the_checkouts_parts_do_not_contradict_each_other() {
        check().expect("the checkout's parts are valid");
    }

    #[test]
    fn a_table_of_db_init_in_the_snapshot_is_an_error() {
        let sql = "-- owns-table: events\ncreate table events (id int);\n";
        let owner = MigrationFile::parse("001_events.sql", sql.as_bytes()).expect("the file is valid");
        let migrations = MigrationSet { db_init: vec![owner], post_schema: Vec::new() };
        let snapshot = DataModel::snapshot().expect("the checkout's snapshot is valid");
        let error = check_owned_tables(&snapshot, &migrations).expect_err("events is a collection");
        assert!(error.to_string().starts_with("snapshots/schema.yaml contains the table events"), "{error}");
    }
}
