// Converting snapshots of other versions and databases.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { converted } from '../image/conversion.mjs';

const mysql = {
  version: 1,
  directus: '10.13.4',
  vendor: 'mysql',
  collections: [
    { collection: 'laps', meta: { note: null, status: 'active' }, schema: { name: 'laps' } },
    { collection: 'folder', meta: {}, schema: null },
  ],
  fields: [
    {
      collection: 'laps',
      field: 'id',
      type: 'string',
      meta: {},
      schema: { data_type: 'char', max_length: 36, is_primary_key: true },
    },
    {
      collection: 'laps',
      field: 'done',
      type: 'boolean',
      meta: {},
      schema: { data_type: 'tinyint', default_value: '1' },
    },
    {
      collection: 'laps',
      field: 'name',
      type: 'string',
      meta: {},
      schema: { data_type: 'varchar', max_length: 40, default_value: "it's" },
    },
    { collection: 'laps', field: 'divider', type: 'alias', meta: { special: ['alias'] }, schema: null },
  ],
  relations: [],
};

test('a snapshot from another database gets data types of PostgreSQL', () => {
  const { snapshot } = converted(mysql, '11.17.4');
  const column = (name) => snapshot.fields.find(({ field }) => field === name);
  assert.equal(snapshot.vendor, 'postgres');
  assert.equal(snapshot.directus, '11.17.4');
  assert.equal(column('id').type, 'uuid');
  assert.equal(column('id').schema.data_type, 'uuid');
  assert.equal(column('id').schema.max_length, null);
  assert.equal(column('done').schema.default_value, true);
  assert.equal(column('name').schema.data_type, 'character varying');
  assert.equal(column('name').schema.default_value, "it''s");
});

test('unknown keys are dropped, missing ones are added, and both are reported once', () => {
  const { snapshot, changes } = converted(mysql, '11.17.4');
  assert.ok(!('status' in snapshot.collections[0].meta));
  assert.equal(snapshot.collections[0].meta.versioning, false);
  assert.ok(changes.includes('collections meta.status: dropped, this version of Directus does not have it (laps)'));
  assert.ok(changes.includes('directus: "10.13.4" → "11.17.4"'));
});

test('folders and aliases have no schema, as this Directus saves them', () => {
  const { snapshot } = converted(mysql, '11.17.4');
  assert.ok(!('schema' in snapshot.collections[1]));
  assert.ok(!('schema' in snapshot.fields[3]));
});

test('a converted snapshot is converted to itself', () => {
  const { snapshot } = converted(mysql, '11.17.4');
  assert.deepEqual(converted(snapshot, '11.17.4').snapshot, snapshot);
});

test('a list that is missing stays missing, and a document without any is refused', () => {
  const { snapshot, changes } = converted({ collections: [] }, '11.17.4');
  assert.ok(!('fields' in snapshot));
  assert.ok(changes.includes('fields: missing, and left out: the database keeps what it has'));
  assert.throws(() => converted({}, '11.17.4'), /^Error: is not a Directus snapshot/);
});
