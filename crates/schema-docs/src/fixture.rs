//! A small data model for the tests: folders, translations, every kind of field, and objects of SQL files.

use entrypoint::migrations::{MigrationFile, MigrationSet};

use crate::objects::RecordedObjects;
use crate::snapshot::DocumentedSchema;

const SNAPSHOT: &str = r#"
collections:
  - { collection: lap-times, meta: { group: timing, sort: 2, note: "One | lap." }, schema: { name: lap-times } }
  - { collection: drivers, meta: { group: timing, sort: 1, color: '#FFEE00', archive_field: state, archive_value: gone,
      translations: [ { language: en-US, translation: Drivers, singular: Driver, plural: Drivers } ] }, schema: { name: drivers } }
  - { collection: timing, meta: { note: Of the track., translations: [ { language: en-US, translation: Timing } ] }, schema: null }
  - { collection: settings, meta: { group: removed }, schema: { name: settings } }
fields:
  - { collection: drivers, field: state, type: string, meta: { sort: 3, group: form, required: true,
      options: { choices: [ { text: Active, value: active }, { text: gone, value: gone } ] } },
      schema: { max_length: 20, default_value: active, is_nullable: false } }
  - { collection: drivers, field: form, type: alias, meta: { sort: 2 }, schema: null }
  - { collection: drivers, field: laps, type: alias, meta: { sort: 1, special: [ o2m ] }, schema: null }
  - { collection: drivers, field: id, type: integer, meta: { sort: 9 }, schema: { is_primary_key: true, is_unique: true } }
  - { collection: lap-times, field: driver, type: integer, meta: { special: [ m2o ] }, schema: { is_nullable: true, is_indexed: true } }
  - { collection: lap-times, field: car, type: string, meta: null, schema: { is_nullable: false } }
  - { collection: directus_users, field: license, type: string, meta: { note: Number. }, schema: { is_unique: true } }
relations:
  - { collection: lap-times, field: driver, related_collection: drivers, meta: { one_field: laps }, schema: { on_delete: SET NULL } }
  - { collection: lap-times, field: car, related_collection: null, meta: { one_allowed_collections: [ settings, directus_files ] },
      schema: null }
"#;

const OBJECTS: &str = "column\tprobes\tat\ttimestamp with time zone NOT NULL DEFAULT now()\tTime of the probe.\n\
                       constraint\tdrivers\tone_number\tUNIQUE (id, state)\n\
                       index\tprobes\tprobes_at\tCREATE INDEX probes_at ON public.probes USING btree (at)\n\
                       table\tprobes\tprobes\t\tMeasured by the track.\n";

const FILE: &[u8] =
    b"-- Probes of the track.\n-- owns-table: probes\n--\n-- More.\ncreate table probes (at timestamptz);\n\
                      create index probes_at on probes (at);\n";

pub(crate) fn schema() -> DocumentedSchema {
    DocumentedSchema::parse(SNAPSHOT).expect("a snapshot")
}

pub(crate) fn recorded() -> RecordedObjects {
    RecordedObjects::parse(OBJECTS).expect("a recording")
}

pub(crate) fn files() -> MigrationSet {
    let file = MigrationFile::parse("001_probes.sql", FILE).expect("a file");
    MigrationSet { db_init: vec![file], post_schema: Vec::new() }
}
