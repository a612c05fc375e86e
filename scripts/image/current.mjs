// Reads the state of the database in the form of a snapshot, like upstream's get-snapshot.js with three differences. It
// includes entities that Directus does not track yet (`meta: null`), because SQL may have created them before the
// snapshot; it reads names of indexes and whole default values from PostgreSQL's catalog; and it does not compare each
// column with each field, as upstream's readAll() does.

import { readSchema } from './bootstrap.mjs';
import { load } from './directus.mjs';
import { normalColumn } from './snapshot.mjs';
import { hasAliasSpecial } from './types.mjs';

export const keyOf = ({ collection, field }) => `${collection}.${field}`;

/**
 * Reads collections, fields, relations and the indexes of system fields, each by name; and the columns of Directus' own
 * tables for them.
 */
export async function readCurrent(database) {
  const schema = await readSchema(database);
  const { CollectionsService } = await load('services/collections.js');
  const { RelationsService } = await load('services/relations.js');
  const { version } = await load('package/version.js');
  const { hasSystemIndex } = await load('package/system-data.js');
  const services = { knex: database, schema };
  const collections = await new CollectionsService(services).readByQuery();
  const relations = await new RelationsService(services).readAll(undefined, undefined, true);
  const fields = await readFields(database, schema);
  const own = (entry) => entry.meta?.system !== true;
  const system = fields
    .filter((field) => !own(field) && field.schema)
    .map((field) => ({ ...field, ofDirectus: hasSystemIndex(field.collection, field.field) }));
  return {
    version,
    schema,
    collections: byKey(collections.filter(own), ({ collection }) => collection),
    fields: byKey(fields.filter(own), keyOf),
    systemFields: byKey(system, keyOf),
    relations: byKey(relations.filter(own), keyOf),
    metaColumns: {
      collection: schema.collections.directus_collections.fields,
      field: schema.collections.directus_fields.fields,
      relation: schema.collections.directus_relations.fields,
    },
  };
}

/**
 * Returns a map, sorted by collection, and then by Directus' ids; entries that it does not track, without an id, come
 * last.
 */
function byKey(entries, keyOf) {
  const order = (entry) => entry.meta?.id ?? Number.MAX_SAFE_INTEGER;
  const compare = (one, other) => (one < other ? -1 : Number(one > other));
  const sorted = [...entries].sort(
    (one, other) =>
      compare(one.collection, other.collection) || compare(order(one), order(other)) || compare(one.field, other.field),
  );
  const map = new Map();
  for (const entry of sorted) if (!map.has(keyOf(entry))) map.set(keyOf(entry), entry);
  return map;
}

/**
 * Returns all fields of the collections that Directus can read: columns, aliases, and rows of directus_fields without
 * either.
 */
async function readFields(database, schema) {
  const { ItemsService } = await load('services/items.js');
  const { getSchemaInspector } = await load('database/index.js');
  const { getSystemFieldRowsWithAuthProviders } = await load('utils/get-field-system-rows.js');
  const rows = await new ItemsService('directus_fields', { knex: database, schema }).readByQuery({ limit: -1 });
  const metas = new Map([...rows, ...getSystemFieldRowsWithAuthProviders()].map((meta) => [keyOf(meta), meta]));
  const inspector = getSchemaInspector();
  const details = await readDetails(database, inspector.explodedSchema);
  const columns = (await inspector.columnInfo()).filter(({ table }) => table in schema.collections);
  const asField = await columnReader();
  const fields = columns.map((column) => {
    const key = `${column.table}.${column.name}`;
    return { ...asField(column, metas.get(key) ?? null), ...details.get(key) };
  });
  const seen = new Set(fields.map(keyOf));
  for (const [key, meta] of metas) {
    const { collection, field } = meta;
    if (seen.has(key) || !(collection in schema.collections)) continue;
    fields.push({ collection, field, type: hasAliasSpecial(meta.special) ? 'alias' : undefined, schema: null, meta });
  }
  return fields;
}

/** Returns a function that converts a column to a field, like FieldsService.readAll(). */
async function columnReader() {
  const { default: getLocalType } = await load('utils/get-local-type.js');
  const { default: getDefaultValue } = await load('utils/get-default-value.js');
  return (column, meta) => ({
    collection: column.table,
    field: column.name,
    type: getLocalType(column, meta ?? undefined),
    schema: { ...normalColumn(column), default_value: getDefaultValue(column, meta ?? undefined) },
    meta,
  });
}

/**
 * Details that the inspector omits, by column: the default as SQL, and the names of indexes and unique constraints of
 * that column alone.
 */
async function readDetails(database, schemas) {
  const details = new Map();
  const detail = ({ table, column }) => {
    const key = `${table}.${column}`;
    if (!details.has(key)) details.set(key, { expression: null, indexes: [], uniques: [] });
    return details.get(key);
  };
  const { rows: defaults } = await database.raw(
    `select c.relname as "table", a.attname as "column", pg_get_expr(d.adbin, d.adrelid) as expression
     from pg_catalog.pg_attrdef d
     join pg_catalog.pg_class c on c.oid = d.adrelid
     join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
     where c.relkind = 'r' and a.attgenerated = '' and c.relnamespace = any (?::text[]::regnamespace[])`,
    [schemas],
  );
  for (const row of defaults) detail(row).expression = row.expression;
  const { rows: indexes } = await database.raw(
    `select c.relname as "table", a.attname as "column", i.relname as index, u.conname as "unique"
     from pg_catalog.pg_index x
     join pg_catalog.pg_class c on c.oid = x.indrelid
     join pg_catalog.pg_class i on i.oid = x.indexrelid
     join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = x.indkey[0]
     left join pg_catalog.pg_constraint u on u.conindid = i.oid and u.conrelid = c.oid and u.contype = 'u'
     where c.relkind = 'r' and x.indnatts = 1 and not x.indisprimary and c.relnamespace = any (?::text[]::regnamespace[])`,
    [schemas],
  );
  for (const row of indexes) {
    if (row.unique) detail(row).uniques.push(row.unique);
    else detail(row).indexes.push(row.index);
  }
  return details;
}
