//! What can be seen to be wrong with the image's parts before anything is built: the rules that the boot holds them to.

use anyhow::ensure;
use contract::SNAPSHOT_FILE;
use entrypoint::migrations::MigrationSet;

use crate::migrations::Migrations;
use crate::schema::Schema;
use crate::workspace;

/// Reads the migrations and the snapshot as the boot does, and holds them against each other.
///
/// # Errors
/// Everything that is wrong with the files, or a table of the snapshot that db-init owns.
pub(super) fn check() -> anyhow::Result<()> {
    owned_tables_are_left_alone(&Schema::snapshot()?, Migrations::read()?.files())
}

/// Directus must not see a table that db-init owns, so the snapshot must not have it either.
fn owned_tables_are_left_alone(snapshot: &Schema, migrations: &MigrationSet) -> anyhow::Result<()> {
    for table in migrations.owned_tables() {
        ensure!(
            !snapshot.tables().contains(table),
            "{} holds the table {table}, which db-init owns (-- owns-table: {table}): remove it there, or the header",
            workspace::in_tree(SNAPSHOT_FILE),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use entrypoint::migrations::MigrationFile;

    use super::*;

    #[test]
    fn what_is_in_the_tree_is_fit_to_ship() {
        check().expect("the tree's own parts");
    }

    #[test]
    fn a_table_of_db_init_in_the_snapshot_is_named() {
        let sql = "-- owns-table: events\ncreate table events (id int);\n";
        let owner = MigrationFile::parse("001_events.sql", sql.as_bytes()).expect("a good file");
        let migrations = MigrationSet { db_init: vec![owner], post_schema: Vec::new() };
        let snapshot = Schema::snapshot().expect("the tree's own");
        let error = owned_tables_are_left_alone(&snapshot, &migrations).expect_err("events is a collection");
        assert!(error.to_string().starts_with("snapshots/schema.yaml holds the table events"), "{error}");
    }
}
