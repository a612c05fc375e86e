// Compares a database (current.mjs) with a snapshot (snapshot.mjs), and returns the changes of an apply: whole entities
// and edits. Pure.
//
// Directus' own comparison goes to any depth, and its apply looks at the first difference alone: a key that was removed
// inside a `meta` deletes the whole collection (directus/directus#27877). Here an edit is of one column of Directus'
// own tables, of one property of a column or constraint, or of the type; and a key that the snapshot does not have
// means "unspecified".
//
// Differences that Directus cannot create are ignored by rule: the rules look at the database and the snapshot alone,
// so that the plan is empty in the database that the snapshot is from and in a new one.

import { equal, meaning, sameMeaning } from './defaults.mjs';
import { isLeftToSql } from './snapshot.mjs';
import { createdDataType, isAlias, isCreatable, isCreatedAs, isGeometry, isText, list } from './types.mjs';

/** Columns of Directus' own tables that name the entity, or number it. */
const IDENTITY = {
  collection: ['collection'],
  field: ['collection', 'field'],
  relation: ['many_collection', 'many_field', 'one_collection'],
};
const NOT_COMPARED = new Set([...Object.values(IDENTITY).flat(), 'id', 'system']);
/** Columns that hold a list as text; empty and null are the same. */
const LISTS = new Set(['special', 'one_allowed_collections']);
/** Knex' default for a text without a length. */
const STRING_LENGTH = 255;
/** Default values that Directus knows as functions. */
const FUNCTIONS = /^(CURRENT_TIMESTAMP(\(\d\))?|gen_random_uuid\(\))$/;

const keyOf = ({ collection, field }) => `${collection}.${field}`;
const edit = (path, lhs, rhs) => ({ kind: 'E', path, lhs: lhs ?? null, rhs: rhs ?? null });
const isFolder = ({ schema }) => !schema;

/** Returns `changes` in the order of Directus' own plan, and `warnings` about what is ignored. */
export function compare(current, snapshot) {
  const context = { current, snapshot, warnings: new Warnings() };
  const collections = compareCollections(context);
  const removed = new Set(collections.filter(isDeletion).map(({ collection }) => collection));
  const changes = [
    ...collections,
    ...compareFields(context, removed),
    ...compareSystemFields(context),
    ...compareRelations(context, removed),
  ];
  return { changes, warnings: context.warnings.all() };
}

const isDeletion = ({ diff }) => diff[0].kind === 'D';

class Warnings {
  #texts = new Set();
  #unknown = new Map();

  add(place, text) {
    this.#texts.add(`${place}: ${text}`);
  }

  /** A key of `meta` that Directus' table has no column for: one warning per key, not per place. */
  unknownKey(entity, key, place) {
    const name = `${entity} meta.${key}`;
    if (!this.#unknown.has(name)) this.#unknown.set(name, []);
    this.#unknown.get(name).push(place);
  }

  all() {
    const keys = [...this.#unknown].map(([name, [first, ...others]]) => {
      const places = others.length > 0 ? `${first} and ${others.length} more` : first;
      return `${places}: ${name} is ignored: this version of Directus does not have it`;
    });
    return [...keys, ...this.#texts];
  }
}

/** Returns the changes of one kind of entity: first of those in the database, then of those in the snapshot alone. */
function changesOf(entity, present, wanted, changeOf) {
  const wantedByKey = new Map(wanted.map((entry) => [entry.key, entry.entry]));
  const changes = [];
  for (const [key, entry] of present) changes.push(...changeOf(entry, wantedByKey.get(key)));
  for (const { key, entry } of wanted) if (!present.has(key)) changes.push(...changeOf(undefined, entry));
  return changes.map((change) => ({ entity, ...change }));
}

function compareCollections({ current, snapshot, warnings }) {
  if (snapshot.collections === undefined) return [];
  const wanted = snapshot.collections.map((entry) => ({ key: entry.collection, entry }));
  return changesOf('collection', current.collections, wanted, (have, want) => {
    const { collection } = have ?? want;
    if (want === undefined) return have.meta ? [{ collection, diff: [{ kind: 'D' }] }] : [];
    const created = { collection, diff: [{ kind: 'N' }], want };
    if (have === undefined) return [created];
    // A folder that becomes a table, or the other way round; without the key `schema` it stays as it is.
    const switches = want.schema !== undefined && isFolder(want) !== isFolder(have);
    if (switches) return [{ collection, diff: [{ kind: 'D' }] }, created];
    const diff = metaEdits('collection', collection, have.meta, want, { current, warnings });
    return diff.length > 0 ? [{ collection, diff, have, want }] : [];
  });
}

/** Edits of columns of Directus' own tables. An entity that Directus does not track yet gets its row. */
function metaEdits(entity, place, have, want, { current, warnings }) {
  const columns = current.metaColumns[entity];
  const edits = have ? [] : IDENTITY[entity].slice(0, 1).map((key) => edit(['meta', key], null, want.collection));
  for (const [key, value] of Object.entries(want.meta ?? {})) {
    if (NOT_COMPARED.has(key)) continue;
    const column = columns[key];
    if (column === undefined || column.alias) warnings.unknownKey(entity, key, place);
    else if (value !== null || column.nullable) edits.push(...metaEdit(key, have?.[key], value, column));
  }
  return edits;
}

function metaEdit(key, have, want, { type }) {
  if (LISTS.has(key)) {
    const lists = [list(have), list(want)];
    return equal(...lists) ? [] : [edit(['meta', key], have, lists[1].length > 0 ? lists[1] : null)];
  }
  const value = isText(type) && ['number', 'boolean'].includes(typeof want) ? String(want) : want;
  return equal(have, value) ? [] : [edit(['meta', key], have, value)];
}

function compareFields({ current, snapshot, warnings }, removed) {
  if (snapshot.fields === undefined) return [];
  const context = { current, warnings, keyed: collectionsWithPrimaryKey(snapshot.fields) };
  const wanted = snapshot.fields.map((entry) => ({ key: keyOf(entry), entry }));
  // The fields of a collection that is deleted are deleted with it; one that comes back as a table gets new ones.
  const present = new Map([...current.fields].filter(([, { collection }]) => !removed.has(collection)));
  return changesOf('field', present, wanted, (have, want) => fieldChanges(have, want, context));
}

const collectionsWithPrimaryKey = (fields) =>
  new Set(
    fields
      .filter(({ schema }) => schema?.is_primary_key || schema?.has_auto_increment)
      .map(({ collection }) => collection),
  );

function fieldChanges(have, want, context) {
  const { collection, field } = have ?? want;
  if (want === undefined) return isDeletedField(have, context) ? [{ collection, field, diff: [{ kind: 'D' }] }] : [];
  const created = { collection, field, diff: [{ kind: 'N' }], want };
  if (have === undefined || isOrphan(have, want)) {
    schemaEdits(asCreated(want), want, context.warnings);
    return [{ ...created, orphan: have !== undefined }];
  }
  const switches = have.type !== undefined && isAlias(want.type) !== isAlias(have.type);
  if (switches) return [{ collection, field, diff: [{ kind: 'D' }] }, created];
  const diff = [
    ...metaEdits('field', keyOf(want), have.meta, want, context),
    ...schemaEdits(have, want, context.warnings),
  ];
  return diff.length > 0 ? [{ collection, field, diff, have, want }] : [];
}

/** A row of directus_fields whose column does not exist, and is not left to SQL. */
const isOrphan = (have, want) => have.schema === null && have.type === undefined && !isLeftToSql(want);

/** Directus does not show untracked columns, nor rows without a column; a table keeps its only primary key. */
function isDeletedField(have, { keyed, warnings }) {
  if (!have.meta || (have.schema === null && have.type === undefined)) return false;
  if (!have.schema?.is_primary_key || keyed.has(have.collection)) return true;
  warnings.add(keyOf(have), 'it is kept: it is the primary key, and the snapshot has no other for this collection');
  return false;
}

/** Returns the column that Directus creates for a field. Compared with the snapshot, it shows differences. */
function asCreated({ collection, field, type, schema = {} }) {
  if (isAlias(type) || isLeftToSql({ type, schema })) return { collection, field, type, schema: null };
  const usable = usableMeaning({ type, schema }).kind !== 'unusable';
  return {
    collection,
    field,
    type,
    uniques: [],
    indexes: [],
    schema: {
      ...schema,
      data_type: createdDataType(type) ?? schema.data_type,
      max_length: type === 'hash' ? STRING_LENGTH : (schema.max_length ?? (type === 'string' ? STRING_LENGTH : null)),
      default_value: usable ? schema.default_value : null,
    },
  };
}

/** Returns the edits of a column, and warns of those that Directus cannot make. */
function schemaEdits(have, want, warnings) {
  if (isAlias(want.type)) return [];
  const schema = want.schema ?? {};
  const ignore = (text) => warnings.add(keyOf(want), text);
  if (!have.schema || isLeftToSql(want) || have.schema.is_generated || !isCreatable(have.type)) {
    if (!have.schema || !isSameColumn(have, want)) {
      ignore(`${described(have, want)} is left to SQL: Directus cannot create or change it`);
    }
    return [];
  }
  checkPrimaryKey(have, want);
  // As upstream: a serial primary key is not compared.
  if (have.schema.is_primary_key && have.schema.has_auto_increment) return [];
  if (schema.has_auto_increment && !have.schema.has_auto_increment) {
    ignore('the database has no sequence for it, and Directus cannot add one');
  }
  return [
    ...shapeEdits(have, want, schema, ignore),
    ...nullabilityEdits(have, schema),
    ...defaultEdits(have, want, schema, ignore),
    ...indexEdits(have, schema, ignore),
  ];
}

const isSameColumn = (have, { type, schema = {} }) =>
  type === have.type &&
  ['data_type', 'default_value', 'is_generated', 'generation_expression'].every(
    (key) => schema[key] === undefined || equal(schema[key], have.schema[key]),
  );

function described(have, want) {
  if (want.schema?.is_generated || have.schema?.is_generated) return 'the generated column';
  return `the column of the data type ${(isCreatable(want.type) ? have : want).schema?.data_type ?? 'unknown'}`;
}

/** Refuses changes that Directus cannot make: an apply would fail, or the plan would never become empty. */
function checkPrimaryKey(have, want) {
  const place = keyOf(want);
  const remedy = 'change it in an SQL file, or restore it in the snapshot';
  if (typeof want.schema?.is_primary_key === 'boolean' && want.schema.is_primary_key !== have.schema.is_primary_key) {
    const [before, after] = have.schema.is_primary_key ? ['is', 'is not'] : ['is not', 'is'];
    throw new Error(
      `${place} ${before} a primary key in the database and ${after} one in the snapshot, and Directus cannot change that: ${remedy}`,
    );
  }
  if (have.schema.has_auto_increment && want.type !== have.type) {
    throw new Error(
      `${place} is a serial ${have.type} in the database and of type ${want.type} in the snapshot, and Directus cannot change that: ${remedy}`,
    );
  }
}

/** The edits that need an ALTER TYPE: of type, data type, length and precision. */
function shapeEdits(have, want, schema, ignore) {
  const sameType = want.type === have.type;
  const sameData = isGeometry(want.type) || [undefined, null, have.schema.data_type].includes(schema.data_type);
  if (!isCreatedAs(want.type, schema.data_type)) {
    // Created by SQL. Directus can neither create the data type, nor its length or precision.
    const same = (key) => [undefined, have.schema[key]].includes(schema[key]);
    if (!sameData || !same('max_length') || !same('numeric_precision') || !same('numeric_scale')) {
      ignore(
        `the data type ${schema.data_type} is ignored: Directus creates ${createdDataType(want.type)} for the type ${want.type}`,
      );
    }
    return sameType || sameData ? [] : [edit(['type'], have.type, want.type)];
  }
  const edits = [];
  // With the same data type, the type follows from `special`, and an edit of that changes it.
  const retyped = !sameType && (!sameData || [undefined, null].includes(schema.data_type));
  if (retyped) edits.push(edit(['type'], have.type, want.type));
  if (!sameData) edits.push(edit(['schema', 'data_type'], have.schema.data_type, schema.data_type));
  return [...edits, ...sizeEdits(have, want, schema, ignore)];
}

function sizeEdits(have, { type }, schema, ignore) {
  const differs = (key) => typeof schema[key] === 'number' && schema[key] !== have.schema[key];
  const sized = (key) => (differs(key) ? [edit(['schema', key], have.schema[key], schema[key])] : []);
  if (type === 'decimal') return [...sized('numeric_precision'), ...sized('numeric_scale')];
  if (type === 'string' && schema.max_length === null && have.schema.max_length !== null) {
    ignore(`a character varying without a length is ignored: Directus creates one of ${STRING_LENGTH}`);
  }
  if (type === 'hash' && differs('max_length')) {
    ignore(`the length ${schema.max_length} is ignored: Directus creates ${STRING_LENGTH} for a hash`);
  }
  // The size of any other type follows from its data type.
  return type === 'string' ? sized('max_length') : [];
}

function nullabilityEdits(have, schema) {
  if (have.schema.is_primary_key || typeof schema.is_nullable !== 'boolean') return [];
  const same = schema.is_nullable === have.schema.is_nullable;
  return same ? [] : [edit(['schema', 'is_nullable'], have.schema.is_nullable, schema.is_nullable)];
}

function defaultEdits(have, want, schema, ignore) {
  const value = schema.default_value;
  if (value === undefined || equal(value, have.schema.default_value)) return [];
  const wanted = usableMeaning(want);
  if (wanted.kind === 'unusable') {
    ignore(`the default value ${JSON.stringify(value)} is ignored: ${wanted.reason}`);
    return [];
  }
  if (sameMeaning(wanted, meaning(have.schema.default_value, have.type))) return [];
  return [edit(['schema', 'default_value'], have.schema.default_value, value)];
}

/** The meaning of a default value in the snapshot for the column that Directus creates. */
export function usableMeaning({ type, schema }) {
  const found = meaning(schema?.default_value, type);
  const foreign = found.kind === 'expression' && !isCreatedAs(type, schema?.data_type) && !FUNCTIONS.test(found.sql);
  return foreign ? { kind: 'unusable', reason: `it is an expression for the data type ${schema.data_type}` } : found;
}

function indexEdits(have, schema, ignore) {
  if (have.schema.is_primary_key) return [];
  return [
    ...indexEdit('is_unique', 'the unique constraint', have.uniques, have, schema, ignore),
    ...indexEdit('is_indexed', 'the index', have.indexes, have, schema, ignore),
  ];
}

/**
 * Directus removes an index by its default name. An index with another name was created by SQL, and is kept.
 */
function indexEdit(key, what, names, have, schema, ignore) {
  if (typeof schema[key] !== 'boolean' || schema[key] === have.schema[key]) return [];
  if (schema[key] === false && !(names ?? []).some((name) => isOfDirectus(name, have, key))) {
    ignore(`${what} ${(names ?? []).join(', ')} is kept: it was created by SQL`);
    return [];
  }
  return [edit(['schema', key], have.schema[key], schema[key])];
}

/** Upstream's get-default-index-name.js: collection, field and kind; a long name is cut and gets a hash. */
export function isOfDirectus(name, { collection, field }, key) {
  const kind = key === 'is_unique' ? 'unique' : 'index';
  const whole = `${collection.replace(/\.|-/g, '_')}_${field}_${kind}`.toLowerCase();
  if (name === whole) return true;
  const [, beginning] = new RegExp(`^(.*)__[0-9a-z]+_${kind}$`).exec(name) ?? [];
  return whole.length >= 60 && (whole.startsWith(name) || (beginning !== undefined && whole.startsWith(beginning)));
}

/** Of Directus' own fields a snapshot contains only the index. */
function compareSystemFields({ current, snapshot, warnings }) {
  if (snapshot.systemFields === undefined) return [];
  const wanted = new Map(snapshot.systemFields.map((entry) => [keyOf(entry), entry.schema?.is_indexed ?? true]));
  const changes = [];
  for (const [key, have] of current.systemFields) {
    const indexed = wanted.get(key) ?? false;
    if (indexed === Boolean(have.schema.is_indexed)) continue;
    const ignore = (text) => warnings.add(key, text);
    if (!wanted.has(key) && have.ofDirectus && snapshot.directus !== current.version) {
      ignore(`its index is kept: it is Directus' own, and the snapshot is of Directus ${snapshot.directus}`);
      continue;
    }
    const diff = indexEdit('is_indexed', 'the index', have.indexes, have, { is_indexed: indexed }, ignore);
    if (diff.length > 0) {
      changes.push({ entity: 'system-field', collection: have.collection, field: have.field, diff, have });
    }
  }
  for (const [key, indexed] of wanted) {
    if (indexed && !current.systemFields.has(key)) {
      warnings.add(key, 'its index is ignored: this version of Directus does not have the field');
    }
  }
  return changes;
}

function compareRelations({ current, snapshot, warnings }, removed) {
  if (snapshot.relations === undefined) return [];
  const wanted = snapshot.relations.map((entry) => ({ key: keyOf(entry), entry }));
  const present = new Map([...current.relations].filter(([, { collection }]) => !removed.has(collection)));
  return changesOf('relation', present, wanted, (have, want) => {
    const { collection, field } = have ?? want;
    if (want === undefined) return have.meta ? [{ collection, field, diff: [{ kind: 'D' }] }] : [];
    const created = { collection, field, diff: [{ kind: 'N' }], want };
    if (have === undefined) return [created];
    // Directus cannot change the collection that a relation leads to.
    const rewired = want.related_collection !== undefined && want.related_collection !== have.related_collection;
    if (rewired) return [{ collection, field, diff: [{ kind: 'D' }] }, created];
    const diff = [
      ...metaEdits('relation', keyOf(want), have.meta, want, { current, warnings }),
      ...constraintEdits(have, want, (text) => warnings.add(keyOf(want), text)),
    ];
    return diff.length > 0 ? [{ collection, field, diff, have, want }] : [];
  });
}

/**
 * A relation's `schema` is its foreign key. Its name follows from collection and field, its column is the primary key.
 */
function constraintEdits(have, { schema }, ignore) {
  if (!schema || !have.related_collection) return [];
  if (!have.schema) return [edit(['schema'], null, schema)];
  if (schema.foreign_key_column && schema.foreign_key_column !== have.schema.foreign_key_column) {
    ignore(
      `the foreign key to ${schema.foreign_key_column} is ignored: it leads to ${have.schema.foreign_key_column}, and Directus cannot change that`,
    );
  }
  return ['on_update', 'on_delete'].flatMap((key) => {
    const same = typeof schema[key] !== 'string' || schema[key].toUpperCase() === have.schema[key];
    return same ? [] : [edit(['schema', key], have.schema[key], schema[key].toUpperCase())];
  });
}
