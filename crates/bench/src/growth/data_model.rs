//! A generated data model of any size, as of another team: tables with relations, SQL files, roles, policies,
//! permissions and flows. Every part grows in proportion to the number of tables.

use std::fmt::Write as _;

use contract::{DB_INIT_DIR, POST_SCHEMA_SUBDIR, SNAPSHOT_FILE};

/// Columns of a table: the key, a relation, and the others.
const COLUMNS: usize = 30;
/// SQL files per table: half of them run before the schema, half after it.
const FILES: usize = 20;
/// Two of this many tables have a role with a policy, a permission and a flow.
const TABLES_PER_ROLE_PAIR: usize = 5;

/// A type of Directus, with its column as in a snapshot that Directus saved.
struct ColumnType {
    name: &'static str,
    data_type: &'static str,
    /// Maximum length, precision and scale.
    sizes: [&'static str; 3],
    interface: &'static str,
    special: Option<&'static str>,
}

const INTEGER: ColumnType = column_type("integer", "integer", ["null", "32", "0"], "input", None);
/// The types of the columns that are neither a key nor a relation, in turns.
const TYPES: [ColumnType; 7] = [
    column_type("string", "character varying", ["255", "null", "null"], "input", None),
    column_type("text", "text", ["null", "null", "null"], "input-multiline", None),
    INTEGER,
    column_type("boolean", "boolean", ["null", "null", "null"], "boolean", Some("cast-boolean")),
    column_type("timestamp", "timestamp with time zone", ["null", "null", "null"], "datetime", None),
    column_type("date", "date", ["null", "null", "null"], "datetime", None),
    column_type("decimal", "numeric", ["null", "10", "2"], "input", None),
];

const fn column_type(
    name: &'static str,
    data_type: &'static str,
    sizes: [&'static str; 3],
    interface: &'static str,
    special: Option<&'static str>,
) -> ColumnType {
    ColumnType { name, data_type, sizes, interface, special }
}

/// The use of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnRole {
    Key,
    /// Refers to the table with this number.
    Relation(usize),
    Plain,
}

/// A data model with a number of tables.
#[derive(Clone, Debug)]
pub(crate) struct GeneratedModel {
    tables: usize,
    /// Version of Directus that its snapshot names.
    directus: String,
}

impl GeneratedModel {
    pub(crate) fn new(tables: usize, directus: &str) -> GeneratedModel {
        GeneratedModel { tables, directus: directus.to_owned() }
    }

    /// Number of SQL files of each phase.
    pub(crate) fn files_per_phase(&self) -> usize {
        self.tables * FILES / 2
    }

    /// Returns paths in the image and contents of the snapshot and of all SQL files.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![(SNAPSHOT_FILE.to_owned(), self.snapshot(false).into_bytes())];
        for number in 1..=self.files_per_phase() {
            files.push((format!("{DB_INIT_DIR}/{number:05}_setting.sql"), before_schema(number).into_bytes()));
            files.push(post_schema(number, after_schema(number)));
        }
        files
    }

    /// Returns the files that a newer image changes: a snapshot with one more field, and a SQL file that fills it.
    pub(crate) fn upgrade(&self) -> Vec<(String, Vec<u8>)> {
        let sql = format!("update {} set added = 'one field more';\n", table(1));
        let snapshot = self.snapshot(true).into_bytes();
        vec![(SNAPSHOT_FILE.to_owned(), snapshot), post_schema(self.files_per_phase() + 1, sql)]
    }

    /// Returns the snapshot as Directus saves it; `added` adds a field to the first table.
    fn snapshot(&self, added: bool) -> String {
        let mut text = format!("version: 1\ndirectus: {}\nvendor: postgres\ncollections:\n", self.directus);
        let tables = || 1..=self.tables;
        tables().for_each(|number| collection(&mut text, &table(number)));
        text += "fields:\n";
        for number in tables() {
            let name = table(number);
            field(&mut text, &name, "id", 1, &INTEGER, ColumnRole::Key);
            field(&mut text, &name, "parent", 2, &INTEGER, ColumnRole::Relation(parent(number)));
            for (position, kind) in (3..=COLUMNS).zip(TYPES.iter().cycle()) {
                field(&mut text, &name, &column(position), position, kind, ColumnRole::Plain);
            }
            if added && number == 1 {
                field(&mut text, &name, "added", COLUMNS + 1, &TYPES[0], ColumnRole::Plain);
            }
        }
        text += "relations:\n";
        tables().for_each(|number| relation(&mut text, &table(number), &table(parent(number))));
        text
    }
}

fn table(number: usize) -> String {
    format!("table_{number:03}")
}

fn column(position: usize) -> String {
    format!("column_{position:02}")
}

/// The table that a table refers to, so that all of them form a tree; the first one refers to itself.
fn parent(number: usize) -> usize {
    (number / 2).max(1)
}

fn post_schema(number: usize, sql: String) -> (String, Vec<u8>) {
    (format!("{DB_INIT_DIR}/{POST_SCHEMA_SUBDIR}/{number:05}_table.sql"), sql.into_bytes())
}

/// Returns a SQL file that runs before the schema: rows of a table that Directus does not see.
fn before_schema(number: usize) -> String {
    let create =
        "create schema settings;\ncreate table settings.setting (number int primary key, value text not null);\n";
    let create = if number == 1 { create } else { "" };
    format!("{create}insert into settings.setting values ({number}, 'value {number}');\n")
}

/// Returns a SQL file that runs after the schema. The files of a table are an index, a constraint, for some tables a
/// role with its rights and a flow, and rows.
fn after_schema(number: usize) -> String {
    let (owner, kind) = ((number - 1) / (FILES / 2) + 1, (number - 1) % (FILES / 2));
    let name = table(owner);
    let [text, integer, date] = [3, 5, 8].map(column);
    match kind {
        0 => format!("create index {name}_by_date on {name} ({date}, {integer});\n"),
        1 => format!("alter table {name} add constraint {name}_positive check ({integer} >= 0);\n"),
        2 if owner % TABLES_PER_ROLE_PAIR < 2 => rights(&name),
        _ => format!("insert into {name} ({text}, {integer}) values ('row {number}', {number});\n"),
    }
}

/// Returns SQL for a role with a policy, a permission for a table, and a flow.
fn rights(table: &str) -> String {
    format!(
        "with role as (
    insert into directus_roles (id, name) values (gen_random_uuid(), 'Editor of {table}') returning id
), policy as (
    insert into directus_policies (id, name, app_access) values (gen_random_uuid(), 'Edit {table}', true) returning id
), access as (
    insert into directus_access (id, role, policy) select gen_random_uuid(), role.id, policy.id from role, policy
)
insert into directus_permissions (collection, action, permissions, fields, policy)
select '{table}', 'update', '{{}}', '*', id from policy;

insert into directus_flows (id, name, status, trigger, accountability)
values (gen_random_uuid(), 'After an edit of {table}', 'inactive', 'manual', 'all');\n"
    )
}

fn collection(text: &mut String, name: &str) {
    write!(
        text,
        "  - collection: {name}
    meta:
      accountability: all
      archive_app_filter: true
      archive_field: null
      archive_value: null
      collapse: open
      collection: {name}
      color: null
      display_template: null
      group: null
      hidden: false
      icon: null
      item_duplication_fields: null
      note: null
      preview_url: null
      singleton: false
      sort: null
      sort_field: null
      translations: null
      unarchive_value: null
      versioning: false
    schema:
      name: {name}\n"
    )
    .expect("writing to a String succeeds");
}

fn field(text: &mut String, table: &str, name: &str, position: usize, kind: &ColumnType, role: ColumnRole) {
    let is_key = role == ColumnRole::Key;
    let ColumnType { name: kind, data_type, sizes: [length, precision, scale], interface, special } = *kind;
    let default = if is_key { format!("nextval('{table}_id_seq'::regclass)") } else { "null".to_owned() };
    let (target, target_column, interface, special) = match role {
        ColumnRole::Relation(number) => (self::table(number), "id", "select-dropdown-m2o", Some("m2o")),
        ColumnRole::Key | ColumnRole::Plain => ("null".to_owned(), "null", interface, special),
    };
    let special = special.map_or(" null".to_owned(), |special| format!("\n        - {special}"));
    write!(
        text,
        "  - collection: {table}
    field: {name}
    type: {kind}
    meta:
      collection: {table}
      conditions: null
      display: null
      display_options: null
      field: {name}
      group: null
      hidden: {is_key}
      interface: {interface}
      note: null
      options: null
      readonly: false
      required: false
      searchable: true
      sort: {position}
      special:{special}
      translations: null
      validation: null
      validation_message: null
      width: full
    schema:
      name: {name}
      table: {table}
      data_type: {data_type}
      default_value: {default}
      max_length: {length}
      numeric_precision: {precision}
      numeric_scale: {scale}
      is_nullable: {}
      is_unique: {is_key}
      is_indexed: {}
      is_primary_key: {is_key}
      is_generated: false
      generation_expression: null
      has_auto_increment: {is_key}
      foreign_key_table: {target}
      foreign_key_column: {target_column}\n",
        !is_key,
        matches!(role, ColumnRole::Relation(_)),
    )
    .expect("writing to a String succeeds");
}

fn relation(text: &mut String, table: &str, target: &str) {
    write!(
        text,
        "  - collection: {table}
    field: parent
    related_collection: {target}
    meta:
      junction_field: null
      many_collection: {table}
      many_field: parent
      one_allowed_collections: null
      one_collection: {target}
      one_collection_field: null
      one_deselect_action: nullify
      one_field: null
      sort_field: null
    schema:
      table: {table}
      column: parent
      foreign_key_table: {target}
      foreign_key_column: id
      constraint_name: {table}_parent_foreign
      on_update: NO ACTION
      on_delete: SET NULL\n"
    )
    .expect("writing to a String succeeds");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(model: &GeneratedModel, text: &str) -> usize {
        model.files().iter().filter(|(_, content)| String::from_utf8_lossy(content).contains(text)).count()
    }

    #[test]
    fn every_part_grows_in_proportion_to_the_tables() {
        let model = GeneratedModel::new(500, "1");
        let snapshot = model.snapshot(false);
        let entries = |name: &str| snapshot.matches(name).count();
        assert_eq!((entries("    schema:\n"), entries("\n    type: ")), (500 * (1 + COLUMNS + 1), 500 * COLUMNS));
        assert_eq!(entries("related_collection"), 500);
        assert_eq!((model.files().len(), count(&model, "directus_flows")), (1 + 10_000, 200));
        let small = GeneratedModel::new(10, "1");
        assert_eq!((small.files().len(), count(&small, "directus_flows")), (1 + 200, 4));
    }

    #[test]
    fn an_upgrade_adds_one_field_and_one_file() {
        let model = GeneratedModel::new(10, "1");
        let names: Vec<String> = model.files().into_iter().map(|(name, _)| name).collect();
        let [(snapshot, text), (sql, _)] = model.upgrade().try_into().unwrap();
        assert!(names.contains(&snapshot) && !names.contains(&sql) && sql > *names.last().unwrap(), "{sql}");
        let fields = |text: &str| text.matches("\n    type: ").count();
        assert_eq!(fields(&String::from_utf8(text).unwrap()), fields(&model.snapshot(false)) + 1);
    }

    #[test]
    fn a_table_refers_only_to_itself_or_an_earlier_one() {
        assert_eq!([1, 2, 3, 10, 500].map(parent), [1, 1, 1, 5, 250]);
    }
}
