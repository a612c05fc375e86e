// Comparing a database with a snapshot: edits of single columns and properties, whole additions and deletions, and the
// rules.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compare, isOfDirectus } from '../image/compare.mjs';
import { checked } from '../image/snapshot.mjs';

const nullable = (type) => ({ type, nullable: true, alias: false });
const metaColumns = {
  collection: {
    collection: nullable('string'),
    translations: nullable('json'),
    note: nullable('text'),
    group: nullable('string'),
    hidden: { type: 'boolean', nullable: false, alias: false },
  },
  field: {
    collection: nullable('string'),
    field: nullable('string'),
    special: nullable('csv'),
    options: nullable('json'),
    note: nullable('text'),
  },
  relation: {
    many_collection: nullable('string'),
    one_field: nullable('string'),
    sort_field: nullable('string'),
    one_allowed_collections: nullable('csv'),
  },
};

const SCHEMA = {
  data_type: 'integer',
  default_value: null,
  max_length: null,
  numeric_precision: 32,
  numeric_scale: 0,
  is_nullable: true,
  is_unique: false,
  is_indexed: false,
  is_primary_key: false,
  is_generated: false,
  generation_expression: null,
  has_auto_increment: false,
};
const text = { data_type: 'character varying', max_length: 255, numeric_precision: null, numeric_scale: null };
const column = (field, type = 'integer', schema = {}, more = {}) => ({
  collection: 'laps',
  field,
  type,
  meta: { id: 1, note: null, options: null, special: null },
  schema: { ...SCHEMA, ...schema },
  indexes: [],
  uniques: [],
  expression: null,
  ...more,
});
const ID = column('id', 'integer', { is_primary_key: true, is_nullable: false });
const byKey = (entries) =>
  new Map(entries.map((entry) => [entry.field ? `${entry.collection}.${entry.field}` : entry.collection, entry]));

function database({
  collections = [
    { collection: 'laps', meta: { note: null, translations: null, hidden: false }, schema: { name: 'laps' } },
  ],
  fields = [ID],
  systemFields = [],
  relations = [],
} = {}) {
  return {
    version: '11.17.4',
    metaColumns,
    collections: byKey(collections),
    fields: byKey(fields),
    systemFields: byKey(systemFields),
    relations: byKey(relations),
  };
}

const laps = { collection: 'laps', meta: {}, schema: { name: 'laps' } };
const wantedId = { collection: 'laps', field: 'id', type: 'integer', meta: {}, schema: { is_primary_key: true } };
const wanted = (field, type, schema = {}, meta = {}) => ({ collection: 'laps', field, type, meta, schema });
const plan = (current, lists) =>
  compare(current, checked({ version: 1, directus: '11.17.4', vendor: 'postgres', ...lists }));
const flat = ({ changes }) =>
  changes.map(
    ({ entity, collection, field, diff }) =>
      `${entity} ${collection}${field ? `.${field}` : ''} ${diff.map(({ kind, path = [] }) => [kind, ...path].join(' ')).join(', ')}`,
  );
/** Compares one column with one field of the snapshot. */
const planOf = (have, want) => plan(database({ fields: [ID, have] }), { fields: [wantedId, want] });

test('a key that was removed inside a translation is an edit of the translations', () => {
  const collections = [
    {
      collection: 'laps',
      meta: { translations: [{ language: 'en', translation: 'Laps', plural: 'laps' }] },
      schema: {},
    },
  ];
  const snapshot = { collections: [{ ...laps, meta: { translations: [{ language: 'en', translation: 'Laps' }] } }] };
  assert.deepEqual(flat(plan(database({ collections }), snapshot)), ['collection laps E meta translations']);
});

test('keys that the snapshot does not have are unspecified at every level', () => {
  const current = database({ fields: [ID, column('speed', 'integer', { is_indexed: true, default_value: 3 })] });
  assert.deepEqual(flat(plan(current, {})), []);
  assert.deepEqual(flat(plan(current, { collections: [{ collection: 'laps' }] })), []);
  assert.deepEqual(
    flat(plan(current, { fields: [wantedId, { collection: 'laps', field: 'speed', type: 'integer' }] })),
    [],
  );
});

test('null in the snapshot is null', () => {
  const current = database({
    fields: [ID, column('speed', 'integer', { default_value: 3 }, { meta: { note: 'fast' } })],
  });
  const fields = [wantedId, wanted('speed', 'integer', { default_value: null }, { note: null })];
  assert.deepEqual(flat(plan(current, { fields })), ['field laps.speed E meta note, E schema default_value']);
});

test('null is unspecified in a column of Directus that cannot be null', () => {
  assert.deepEqual(flat(plan(database(), { collections: [{ ...laps, meta: { hidden: null } }] })), []);
});

test('a key of meta that this Directus does not have is ignored with one warning', () => {
  const collections = ['a', 'b', 'c'].map((collection) => ({ collection, meta: { note: null }, schema: {} }));
  const { changes, warnings } = plan(database({ collections, fields: [] }), {
    collections: collections.map((entry) => ({ ...entry, meta: { status: 'active' } })),
  });
  assert.deepEqual(changes, []);
  assert.deepEqual(warnings, [
    'a and 2 more: collection meta.status is ignored: this version of Directus does not have it',
  ]);
});

test('whole entities are deleted only if the snapshot has their list', () => {
  const relations = [{ collection: 'laps', field: 'id', related_collection: null, meta: { id: 1 }, schema: null }];
  assert.deepEqual(flat(plan(database({ relations }), { relations: [] })), ['relation laps.id D']);
  assert.deepEqual(flat(plan(database({ relations }), { collections: [] })), ['collection laps D']);
  assert.deepEqual(flat(plan(database({ fields: [ID, column('speed')] }), { fields: [wantedId] })), [
    'field laps.speed D',
  ]);
});

test('fields and relations of a deleted collection are not listed', () => {
  const relations = [{ collection: 'laps', field: 'id', related_collection: null, meta: { id: 1 }, schema: null }];
  assert.deepEqual(flat(plan(database({ relations }), { collections: [], fields: [], relations: [] })), [
    'collection laps D',
  ]);
});

test('entities that Directus does not track are never deleted, and are adopted if the snapshot has them', () => {
  const current = database({
    collections: [{ collection: 'laps', meta: null, schema: { name: 'laps' } }],
    fields: [{ ...ID, meta: null }, column('speed', 'integer', {}, { meta: null })],
  });
  assert.deepEqual(flat(plan(current, { collections: [], fields: [] })), []);
  const adopted = plan(current, {
    collections: [{ ...laps, meta: { note: 'x' } }],
    fields: [wantedId, wanted('speed', 'integer')],
  });
  assert.deepEqual(flat(adopted), [
    'collection laps E meta collection, E meta note',
    'field laps.id E meta collection',
    'field laps.speed E meta collection',
  ]);
});

test('a field that becomes an alias is deleted and created', () => {
  const want = { collection: 'laps', field: 'speed', type: 'alias', meta: { special: ['alias'] } };
  assert.deepEqual(flat(planOf(column('speed'), want)), ['field laps.speed D', 'field laps.speed N']);
});

test('a folder that becomes a table is deleted and created, and one without the key schema stays', () => {
  const collections = [{ collection: 'laps', meta: {}, schema: null }];
  assert.deepEqual(flat(plan(database({ collections, fields: [] }), { collections: [laps] })), [
    'collection laps D',
    'collection laps N',
  ]);
  assert.deepEqual(flat(plan(database(), { collections: [{ collection: 'laps' }] })), []);
});

test('an integer that becomes a text is an edit of type and data type', () => {
  const result = planOf(column('speed'), wanted('speed', 'string', { ...text }));
  assert.deepEqual(flat(result), ['field laps.speed E type, E schema data_type, E schema max_length']);
});

test('a change of the special alone is not an edit of the type', () => {
  const have = column('tags', 'csv', { data_type: 'text' }, { meta: { special: ['cast-csv'] } });
  const result = planOf(have, wanted('tags', 'text', { data_type: 'text' }, { special: null }));
  assert.deepEqual(flat(result), ['field laps.tags E meta special']);
});

test('a data type that Directus does not create is ignored while the type is the same', () => {
  const want = wanted('speed', 'integer', { data_type: 'smallint', numeric_precision: 16, numeric_scale: 0 });
  const { changes, warnings } = planOf(column('speed'), want);
  assert.deepEqual(changes, []);
  assert.deepEqual(warnings, [
    'laps.speed: the data type smallint is ignored: Directus creates integer for the type integer',
  ]);
  assert.deepEqual(planOf(column('speed', 'integer', { data_type: 'smallint', numeric_precision: 16 }), want), {
    changes: [],
    warnings: [],
  });
});

test('a data type that SQL created becomes the one of Directus if the snapshot has that', () => {
  const have = column('speed', 'integer', { data_type: 'smallint', numeric_precision: 16 });
  assert.deepEqual(flat(planOf(have, wanted('speed', 'integer', { data_type: 'integer', numeric_precision: 32 }))), [
    'field laps.speed E schema data_type',
  ]);
});

test('a numeric without precision, which Directus reads as an integer, is never converted', () => {
  const have = column('speed', 'decimal', { data_type: 'numeric', numeric_precision: 10, numeric_scale: 2 });
  const want = wanted('speed', 'integer', { data_type: 'numeric', numeric_precision: null, numeric_scale: null });
  assert.deepEqual(planOf(have, want).changes, []);
});

test('a text without a length is ignored if Directus created one of 255', () => {
  const want = wanted('name', 'string', { ...text, max_length: null });
  assert.deepEqual(planOf(column('name', 'string', text), want).warnings, [
    'laps.name: a character varying without a length is ignored: Directus creates one of 255',
  ]);
  assert.deepEqual(planOf(column('name', 'string', { ...text, max_length: null }), want).warnings, []);
  assert.deepEqual(
    planOf(
      column('name', 'string', { ...text, max_length: null }),
      wanted('name', 'string', { ...text, max_length: -5 }),
    ).warnings,
    [],
  );
});

test('a column that is left to SQL is a new field with a warning, and no change once it exists', () => {
  const want = wanted('tags', 'unknown', { data_type: 'text[]', default_value: '{}' });
  const created = plan(database(), { fields: [wantedId, want] });
  assert.deepEqual(flat(created), ['field laps.tags N']);
  assert.deepEqual(created.warnings, [
    'laps.tags: the column of the data type text[] is left to SQL: Directus cannot create or change it',
  ]);
  const row = { collection: 'laps', field: 'tags', type: undefined, schema: null, meta: { id: 2 } };
  assert.deepEqual(planOf(row, want), { changes: [], warnings: created.warnings });
  assert.deepEqual(planOf(column('tags', 'unknown', { data_type: 'text[]', default_value: '{}' }), want), {
    changes: [],
    warnings: [],
  });
});

test('a generated column is left to SQL', () => {
  const want = wanted('total', 'integer', { is_generated: true, generation_expression: '(a + b)' });
  assert.match(planOf(column('total'), want).warnings[0], /^laps\.total: the generated column is left to SQL/);
  assert.deepEqual(planOf(column('total', 'integer', { is_generated: true, generation_expression: '(a + b)' }), want), {
    changes: [],
    warnings: [],
  });
});

test('defaults are compared by their meaning', () => {
  const have = column('at', 'timestamp', { data_type: 'timestamp with time zone', default_value: 'CURRENT_TIMESTAMP' });
  assert.deepEqual(planOf(have, wanted('at', 'timestamp', { default_value: 'now()' })).changes, []);
  const name = column('name', 'string', { ...text, default_value: "it''s" });
  assert.deepEqual(planOf(name, wanted('name', 'string', { default_value: "it's" })).changes, []);
  assert.deepEqual(flat(planOf(name, wanted('name', 'string', { default_value: 'its' }))), [
    'field laps.name E schema default_value',
  ]);
});

test('a default that Directus cut off is ignored with a warning', () => {
  const { changes, warnings } = planOf(
    column('name', 'string', text),
    wanted('name', 'string', { default_value: "'a" }),
  );
  assert.deepEqual(changes, []);
  assert.deepEqual(warnings, [`laps.name: the default value "'a" is ignored: Directus cut it off at its first ::`]);
});

test('an index that SQL created is kept, and one of Directus is removed', () => {
  const want = wanted('speed', 'integer', { is_indexed: false, is_unique: false });
  const bySql = planOf(
    column(
      'speed',
      'integer',
      { is_indexed: true, is_unique: true },
      { indexes: ['by_speed'], uniques: ['laps_speed_key'] },
    ),
    want,
  );
  assert.deepEqual(bySql.changes, []);
  assert.equal(bySql.warnings.length, 2);
  const own = planOf(column('speed', 'integer', { is_indexed: true }, { indexes: ['laps_speed_index'] }), want);
  assert.deepEqual(flat(own), ['field laps.speed E schema is_indexed']);
});

test('long names of indexes are recognised as those of Directus', () => {
  const field = { collection: 'a_collection_with_a_very_long_name', field: 'and_a_field_with_a_long_name' };
  assert.ok(isOfDirectus('a_collection_with_a_very_long_name_and_a_field_wi__1a2b3c_index', field, 'is_indexed'));
  assert.ok(!isOfDirectus('a_collection_with_a_very_long_name_and_a_field_wi__1a2b3c_index', field, 'is_unique'));
  assert.ok(!isOfDirectus('laps_speed_idx', { collection: 'laps', field: 'speed' }, 'is_indexed'));
});

test('another primary key is refused', () => {
  assert.throws(
    () => planOf(column('speed'), wanted('speed', 'integer', { is_primary_key: true })),
    /^Error: laps\.speed is not a primary key in the database and is one in the snapshot/,
  );
});

test('a primary key that the snapshot does not have is kept if it has no other', () => {
  const { changes, warnings } = plan(database({ fields: [ID, column('speed')] }), {
    fields: [wanted('speed', 'integer')],
  });
  assert.deepEqual(changes, []);
  assert.match(warnings[0], /^laps\.id: it is kept/);
});

test('a serial primary key is not compared', () => {
  const serial = column('id', 'integer', {
    is_primary_key: true,
    has_auto_increment: true,
    default_value: "nextval('laps_id_seq'::regclass)",
  });
  const want = wanted('id', 'integer', {
    is_primary_key: true,
    has_auto_increment: true,
    default_value: "nextval('other_seq'::regclass)",
  });
  assert.deepEqual(plan(database({ fields: [serial] }), { fields: [want] }), { changes: [], warnings: [] });
});

test('a relation without schema is unspecified, and gains a foreign key as one edit', () => {
  const relation = {
    collection: 'laps',
    field: 'entry',
    related_collection: 'entries',
    meta: { id: 1, sort_field: null },
    schema: null,
  };
  const constrained = {
    ...relation,
    schema: { on_update: 'NO ACTION', on_delete: 'CASCADE', foreign_key_column: 'id', constraint_name: 'x' },
  };
  const want = (schema) => ({
    relations: [{ collection: 'laps', field: 'entry', related_collection: 'entries', meta: {}, schema }],
  });
  const key = {
    on_update: 'NO ACTION',
    on_delete: 'SET NULL',
    foreign_key_column: 'id',
    constraint_name: 'laps_entry_foreign',
  };
  assert.deepEqual(flat(plan(database({ relations: [constrained] }), want(undefined))), []);
  assert.deepEqual(flat(plan(database({ relations: [constrained] }), want(null))), []);
  assert.deepEqual(flat(plan(database({ relations: [relation] }), want(key))), ['relation laps.entry E schema']);
  assert.deepEqual(flat(plan(database({ relations: [constrained] }), want(key))), [
    'relation laps.entry E schema on_delete',
  ]);
});

test('a relation to another collection is deleted and created', () => {
  const relation = { collection: 'laps', field: 'entry', related_collection: 'entries', meta: { id: 1 }, schema: null };
  const want = { relations: [{ collection: 'laps', field: 'entry', related_collection: 'teams', meta: {} }] };
  assert.deepEqual(flat(plan(database({ relations: [relation] }), want)), [
    'relation laps.entry D',
    'relation laps.entry N',
  ]);
});

test('an index of a system field is compared, and one of Directus itself is kept for a snapshot of another version', () => {
  const have = {
    collection: 'directus_activity',
    field: 'timestamp',
    schema: { is_indexed: true },
    indexes: ['directus_activity_timestamp_index'],
    ofDirectus: true,
  };
  const current = database({ systemFields: [have] });
  assert.deepEqual(flat(plan(current, { systemFields: [] })), [
    'system-field directus_activity.timestamp E schema is_indexed',
  ]);
  const older = plan(current, { directus: '11.13.4', systemFields: [] });
  assert.deepEqual(older.changes, []);
  assert.match(older.warnings[0], /^directus_activity\.timestamp: its index is kept/);
});

test('an empty list and null are the same in columns that hold a list', () => {
  assert.deepEqual(planOf(column('speed'), wanted('speed', 'integer', {}, { special: [] })).changes, []);
  const have = column('speed', 'integer', {}, { meta: { special: ['a', 'b'] } });
  assert.deepEqual(planOf(have, wanted('speed', 'integer', {}, { special: 'a,b' })).changes, []);
});

test('edits have two steps at most and never add or remove a part', () => {
  const current = database({ fields: [ID, column('speed', 'integer', {}, { meta: { options: { a: { b: 1 } } } })] });
  const { changes } = plan(current, { fields: [wantedId, wanted('speed', 'integer', {}, { options: { a: {} } })] });
  assert.deepEqual(changes[0].diff, [{ kind: 'E', path: ['meta', 'options'], lhs: { a: { b: 1 } }, rhs: { a: {} } }]);
});
