// Brings a snapshot of another version, or from another database, into the form in which this Directus saves one. Pure.

import { checked, isLeftToSql } from './snapshot.mjs';
import { createdDataType, isAlias, isGeometry, isText } from './types.mjs';

const NULLS = (...keys) => Object.fromEntries(keys.map((key) => [key, null]));

/** The keys of `meta` with their default values, as Directus' migrations define them. */
const META = {
  collections: {
    ...NULLS('archive_field', 'archive_value', 'color', 'display_template', 'group', 'icon', 'item_duplication_fields'),
    ...NULLS('note', 'preview_url', 'sort', 'sort_field', 'translations', 'unarchive_value'),
    accountability: 'all',
    archive_app_filter: true,
    collapse: 'open',
    hidden: false,
    singleton: false,
    versioning: false,
  },
  fields: {
    ...NULLS('conditions', 'display', 'display_options', 'group', 'interface', 'note', 'options', 'sort', 'special'),
    ...NULLS('translations', 'validation', 'validation_message'),
    hidden: false,
    readonly: false,
    required: false,
    searchable: true,
    width: 'full',
  },
  relations: {
    ...NULLS('junction_field', 'one_allowed_collections', 'one_collection_field', 'one_field', 'sort_field'),
    one_deselect_action: 'nullify',
  },
};

/** The keys of a column, in Directus' order, with their defaults; undefined if there is no default. */
const COLUMN = {
  name: undefined,
  table: undefined,
  data_type: undefined,
  default_value: null,
  max_length: null,
  numeric_precision: null,
  numeric_scale: null,
  is_nullable: undefined,
  is_unique: undefined,
  is_indexed: undefined,
  is_primary_key: false,
  is_generated: false,
  generation_expression: null,
  has_auto_increment: false,
  foreign_key_table: null,
  foreign_key_column: null,
};

/** Precision and scale that the inspector reports for data types with a fixed one. */
const SIZES = {
  smallint: [16, 0],
  integer: [32, 0],
  bigint: [64, 0],
  real: [24, null],
  'double precision': [53, null],
};

/** Returns the converted snapshot and a list of the changes; `text` is for the line numbers in errors. */
export function converted(document, directus, text) {
  if (![...Object.keys(META), 'systemFields'].some((name) => Array.isArray(document[name]))) {
    throw new Error(
      'is not a Directus snapshot: it has none of the lists `collections`, `fields`, `systemFields` and `relations`',
    );
  }
  const changes = new Changes();
  const foreign = ![undefined, null, 'postgres'].includes(document.vendor);
  const given = { ...document, version: 1, directus: document.directus ?? directus, vendor: 'postgres' };
  for (const key of ['version', 'directus', 'vendor']) {
    const value = { version: 1, directus, vendor: 'postgres' }[key];
    if (document[key] !== value) {
      changes.add(`${key}: ${JSON.stringify(document[key] ?? null)} → ${JSON.stringify(value)}`);
    }
  }
  if (foreign) given.fields = document.fields?.map((field) => ofPostgres(field, document, changes));
  const snapshot = checked(given, text);
  for (const warning of snapshot.warnings) changes.add(warning);
  const result = { version: 1, directus, vendor: 'postgres' };
  const lists = {
    collections: (entry) => asCollection(entry, changes),
    fields: (entry) => asField(entry, snapshot, changes),
    systemFields: ({ collection, field, schema }) => ({
      collection,
      field,
      schema: { is_indexed: schema?.is_indexed ?? true },
    }),
    relations: (entry) => asRelation(entry, changes),
  };
  for (const [name, convert] of Object.entries(lists)) {
    if (snapshot[name]) result[name] = snapshot[name].map(convert);
    else changes.add(`${name}: missing, and left out: the database keeps what it has`);
  }
  return { snapshot: result, changes: changes.all() };
}

/** Lines about changes; the same change in several places is one line with their number. */
class Changes {
  #places = new Map();

  add(text, place) {
    if (!this.#places.has(text)) this.#places.set(text, []);
    if (place) this.#places.get(text).push(place);
  }

  all() {
    return [...this.#places].map(([text, [first, ...others]]) => {
      if (!first) return text;
      return others.length > 0 ? `${text} (${first} and ${others.length} more)` : `${text} (${first})`;
    });
  }
}

/** Returns the keys that this Directus has, and no other, in alphabetical order as it saves them. */
function asMeta(list, meta, identity, place, changes) {
  const known = { ...META[list], ...identity };
  for (const key of Object.keys(meta ?? {})) {
    if (!(key in known) && key !== 'id') {
      changes.add(`${list} meta.${key}: dropped, this version of Directus does not have it`, place);
    }
  }
  const missing = Object.keys(META[list]).filter((key) => meta?.[key] === undefined);
  if (missing.length > 0) changes.add(`${list} meta: added with their defaults: ${missing.join(', ')}`, place);
  const keys = Object.keys(known).sort();
  return Object.fromEntries(
    keys.map((key) => [key, key in identity || meta?.[key] === undefined ? known[key] : meta[key]]),
  );
}

function asCollection({ collection, meta, schema }, changes) {
  const result = { collection, meta: asMeta('collections', meta, { collection }, collection, changes) };
  return schema ? { ...result, schema: { name: collection } } : result;
}

function asField(entry, { relations }, changes) {
  const { collection, field, type, meta } = entry;
  const place = `${collection}.${field}`;
  const result = { collection, field, type, meta: asMeta('fields', meta, { collection, field }, place, changes) };
  if (isAlias(type)) return result;
  return { ...result, schema: asColumn(entry, relations ?? [], changes) };
}

function asColumn({ collection, field, type, schema = {} }, relations, changes) {
  const place = `${collection}.${field}`;
  const dataType = schema.data_type ?? createdDataType(type);
  const [precision, scale] = SIZES[dataType] ?? [];
  const relation = relations.find(
    (candidate) => candidate.collection === collection && candidate.field === field && candidate.schema,
  );
  const known = {
    ...COLUMN,
    name: field,
    table: collection,
    data_type: dataType,
    max_length: type === 'string' ? undefined : null,
    numeric_precision: precision ?? null,
    numeric_scale: scale ?? null,
    foreign_key_table: relation?.related_collection ?? null,
    foreign_key_column: relation?.schema.foreign_key_column ?? null,
  };
  const missing = Object.keys(COLUMN).filter((key) => schema[key] === undefined);
  const [added, unknown] = [
    missing.filter((key) => known[key] !== undefined),
    missing.filter((key) => known[key] === undefined),
  ];
  if (added.length > 0) changes.add(`fields schema: added: ${added.join(', ')}`, place);
  if (unknown.length > 0) {
    changes.add(`fields schema: left out, because nothing is known about them: ${unknown.join(', ')}`, place);
  }
  const present = Object.keys(COLUMN).filter((key) => !unknown.includes(key));
  const column = Object.fromEntries(present.map((key) => [key, schema[key] === undefined ? known[key] : schema[key]]));
  if (isLeftToSql({ type, schema })) changes.add('fields: left to SQL, Directus cannot create the column', place);
  return column;
}

function asRelation({ collection, field, related_collection: related, meta, schema }, changes) {
  const place = `${collection}.${field}`;
  const identity = { many_collection: collection, many_field: field, one_collection: related ?? null };
  const result = {
    collection,
    field,
    related_collection: related ?? null,
    meta: asMeta('relations', meta, identity, place, changes),
  };
  if (!schema) return result;
  const constraint = {
    table: collection,
    column: field,
    foreign_key_table: related ?? null,
    foreign_key_column: schema.foreign_key_column ?? 'id',
    constraint_name: schema.constraint_name ?? `${collection}_${field}_foreign`.toLowerCase(),
    on_update: schema.on_update ?? 'NO ACTION',
    on_delete: schema.on_delete ?? 'NO ACTION',
  };
  return { ...result, schema: constraint };
}

/** Converts a field of another database to the column that Directus would create in PostgreSQL. */
function ofPostgres(field, document, changes) {
  const { collection, schema } = field;
  if (!schema) return field;
  const place = `${collection}.${field.field}`;
  const type = typeOfPostgres(field, document);
  if (isGeometry(type)) return field;
  const dataType = createdDataType(type);
  if (dataType === undefined) return field;
  if (dataType !== schema.data_type) changes.add(`fields schema.data_type: ${schema.data_type} → ${dataType}`, place);
  const [precision, scale] =
    type === 'decimal' ? [schema.numeric_precision, schema.numeric_scale] : (SIZES[dataType] ?? [null, null]);
  const isString = dataType === 'character varying';
  return {
    ...field,
    type,
    schema: {
      ...schema,
      data_type: dataType,
      max_length: isString && schema.max_length > 0 ? Number(schema.max_length) : null,
      numeric_precision: precision,
      numeric_scale: scale,
      default_value: defaultOfPostgres(schema, field, type),
    },
  };
}

/**
 * Other databases store a UUID as a text of 36 characters: a primary key, or a reference to one (as in upstream's
 * apply-diff.js).
 */
function typeOfPostgres({ type, schema }) {
  const isText36 = /^(n?var)?char/i.test(schema.data_type) && Number(schema.max_length) === 36;
  const isKey = schema.is_primary_key || (schema.foreign_key_table && schema.foreign_key_column);
  if (isText36 && isKey) return 'uuid';
  // Without a length it holds any text.
  if (type === 'string' && !(schema.max_length > 0)) return 'text';
  return type;
}

/** PostgreSQL's inspector leaves quotes doubled, and a serial key has its sequence as default. */
function defaultOfPostgres({ default_value: value, has_auto_increment: isSerial }, { collection, field }, type) {
  if (isSerial) return `nextval('${collection}_${field}_seq'::regclass)`;
  if (type === 'boolean' && value !== null && value !== undefined) return ['1', 1, true, 'true'].includes(value);
  if (typeof value !== 'string') return value ?? null;
  if (/^current_timestamp(\(\))?$/i.test(value)) return 'CURRENT_TIMESTAMP';
  return isText(type) ? value.replaceAll("'", "''") : value;
}
