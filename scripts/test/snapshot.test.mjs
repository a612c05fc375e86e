// Reading a snapshot: its forms, and refusals that name the place and the remedy.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checked, contents, parse } from '../image/snapshot.mjs';
import { list } from '../image/types.mjs';

/** JSON is YAML too; the parser itself is Directus'. */
const yaml = {
  CORE_SCHEMA: { extend: () => 'core' },
  types: {},
  load(text) {
    if (text.includes('[broken'))
      throw Object.assign(new Error('x'), { reason: 'unexpected end', mark: { line: 1, column: 4 } });
    return text.trim() === '' ? undefined : JSON.parse(text);
  },
};

const head = { version: 1, directus: '11.17.4', vendor: 'postgres' };
const table = (collection, meta = {}) => ({ collection, meta, schema: { name: collection } });
const column = (collection, field, schema = {}) => ({ collection, field, type: 'integer', meta: {}, schema });
const key = (collection) => column(collection, 'id', { is_primary_key: true });
const refused = (lists, message) => assert.throws(() => checked({ ...head, ...lists }), { message });

test('an envelope of the REST API is removed', () => {
  assert.deepEqual(parse(JSON.stringify({ data: { ...head, collections: [] } }), yaml), { ...head, collections: [] });
});

test('an empty document is refused', () => {
  assert.throws(() => parse('\n', yaml), /^Error: is empty: save the snapshot again/);
  assert.throws(() => parse('[]', yaml), /^Error: is not a Directus snapshot/);
});

test('an error in YAML is reported with line and column', () => {
  assert.throws(
    () => parse('a:\n  - [broken', yaml),
    /^Error: is not valid YAML in line 2, column 5: unexpected end; correct that line/,
  );
});

test('another version of the format, and another database, are refused with the remedy', () => {
  assert.throws(() => checked({ ...head, version: 2 }), /not a Directus snapshot of version 1 \(`version` is 2\)/);
  assert.throws(
    () => checked({ ...head, vendor: 'mysql' }),
    /saved from "mysql", not from postgres: convert it: docker run/,
  );
  assert.throws(() => checked({ version: 1 }), /no version of Directus/);
});

test('missing lists stay missing', () => {
  const snapshot = checked(head);
  assert.equal(snapshot.collections, undefined);
  assert.equal(snapshot.relations, undefined);
  assert.deepEqual(contents(snapshot).tables, []);
});

test('a missing key stays missing and null stays null', () => {
  const { fields } = checked({
    ...head,
    fields: [{ collection: 'directus_users', field: 'a', type: 'string', meta: { note: null } }],
  });
  assert.deepEqual(fields, [{ collection: 'directus_users', field: 'a', type: 'string', meta: { note: null } }]);
});

test('entries without a name, and duplicates, are refused', () => {
  refused({ collections: [{ meta: {} }] }, /entry 1 of `collections` has no `collection`/);
  refused({ collections: [table('a'), table('a')] }, /a is twice in `collections` \(first: entry 1/);
});

test('a group that does not exist, and a circle of groups, are refused', () => {
  refused(
    { collections: [table('a', { group: 'g' })] },
    /the collection a is in the group g, which is not in the snapshot; add that collection, or set `group: null`/,
  );
  refused({ collections: [table('a', { group: 'b' }), table('b', { group: 'a' })] }, /inside itself \(a → b → a\)/);
});

test('names that Directus does not accept are refused', () => {
  refused({ collections: [table('directus_users')] }, /has a name of Directus' own collections/);
  refused({ collections: [table('a/b')] }, /has a \/ in its name/);
  refused({ collections: [table('a b')] }, /has a space in its name/);
  refused({ collections: [table('a'.repeat(64))] }, /more than 63 bytes/);
});

test('a field without its collection is refused', () => {
  refused(
    { collections: [], fields: [column('a', 'b')] },
    /the field a\.b is of the collection a, which is not in the snapshot/,
  );
  refused({ collections: [{ collection: 'a', schema: null }], fields: [column('a', 'b')] }, /which has no table/);
});

test('a relation of a column that Directus does not track is accepted with a warning', () => {
  const relations = [{ collection: 'a', field: 'b', related_collection: 'a' }];
  const { warnings } = checked({ ...head, collections: [table('a')], fields: [key('a')], relations });
  assert.match(warnings[0], /the relation a\.b is of a field that is not in the snapshot/);
});

test('a relation without its collections is refused', () => {
  const lists = { collections: [table('a')], fields: [key('a'), column('a', 'b')] };
  refused(
    { ...lists, relations: [{ collection: 'a', field: 'b', related_collection: 'c' }] },
    /leads to the collection c/,
  );
});

test('a type that Directus does not have is refused', () => {
  refused(
    { fields: [{ collection: 'a', field: 'b', type: 'number' }] },
    /the field a\.b has the type "number", which Directus does not have/,
  );
  refused({ fields: [{ collection: 'a', field: 'b' }] }, /the field a\.b has no `type`/);
});

test('a missing type follows from the data type', () => {
  const { fields } = checked({ ...head, fields: [{ collection: 'a', field: 'b', schema: { data_type: 'boolean' } }] });
  assert.equal(fields[0].type, 'boolean');
});

test('an alias without a special that marks it gets one, with a warning', () => {
  const { fields, warnings } = checked({
    ...head,
    fields: [{ collection: 'a', field: 'b', type: 'alias', meta: { special: ['no-data'] } }],
  });
  assert.deepEqual(fields[0].meta.special, ['alias', 'no-data']);
  assert.match(warnings[0], /^a\.b: /);
});

test('a table without a primary key is accepted with a warning, unless it has another id', () => {
  const { warnings } = checked({ ...head, collections: [table('a')], fields: [column('a', 'b')] });
  assert.match(warnings[0], /^a: none of its fields/);
  refused({ collections: [table('a')], fields: [column('a', 'id')] }, /the collection a has no primary key/);
});

test('columns that Directus cannot create are not in the contents that the boot checks', () => {
  const fields = [key('a'), { collection: 'a', field: 'tags', type: 'unknown', schema: { data_type: 'text[]' } }];
  const { columns, aliases } = contents(checked({ ...head, collections: [table('a')], fields }));
  assert.deepEqual(columns, [['a', 'id']]);
  assert.deepEqual(aliases, [['a', 'tags']]);
});

test('errors name the line of YAML in which the entry begins', () => {
  const text = 'version: 1\ncollections:\n  - collection: a\n    meta: {}\n  - collection: a\n';
  const document = { ...head, collections: [table('a'), table('a')] };
  assert.throws(() => checked(document, text), /^Error: line 5: a is twice in `collections` \(first: line 3\)/);
});

test('null in a list of specials is left out', () => {
  assert.deepEqual(list(['alias', null]), ['alias']);
  assert.deepEqual(list([null]), []);
  assert.deepEqual(list('alias,no-data'), ['alias', 'no-data']);
});
