// A Directus snapshot as a file: parsed, checked, and brought into one form. Pure; the YAML parser is passed in.
//
// The form: a missing key stays missing ("unspecified": the database keeps what it has), null stays null. A field's
// `type` is always present, and alone decides whether it is a column. Only problems that show without a database are
// refused here.

import { TYPES, createdDataType, hasAliasSpecial, isAlias, isCreatable, list } from './types.mjs';

/** PostgreSQL cuts longer names off. */
const LONGEST_NAME = 63;
const LISTS = ['collections', 'fields', 'systemFields', 'relations'];
/** For a snapshot that only has another form. */
const CONVERT = 'convert it: docker run --rm -i IMAGE snapshot --convert < old.yaml > new.yaml';
const AGAIN = 'save the snapshot again from the Directus that it belongs to';

/** Parses the text of a snapshot, YAML or JSON, with or without the REST API's `data` around it. */
export function parse(text, yaml) {
  const document = unwrapped(loaded(text, yaml));
  if (document === null || document === undefined) throw new Error(`is empty: ${AGAIN}`);
  if (typeof document !== 'object' || Array.isArray(document)) throw new Error(`is not a Directus snapshot: ${AGAIN}`);
  return document;
}

function loaded(text, yaml) {
  try {
    // Without YAML's own timestamps: a date stays the text that it is.
    return yaml.load(text, { schema: yaml.CORE_SCHEMA.extend({ implicit: [yaml.types.merge] }) });
  } catch (error) {
    const { line, column } = error.mark ?? {};
    const place = line === undefined ? '' : ` in line ${line + 1}, column ${column + 1}`;
    throw new Error(`is not valid YAML${place}: ${error.reason ?? error.message}; correct that line, or ${AGAIN}`);
  }
}

function unwrapped(document) {
  const isEnvelope = document?.data && typeof document.data === 'object' && document.version === undefined;
  return isEnvelope ? document.data : document;
}

/** Checks a parsed snapshot and returns it in one form, with `warnings`. `text` is for the line numbers in errors. */
export function checked(document, text = '') {
  const { version, directus, vendor } = document;
  if (version !== 1) {
    throw new Error(`is not a Directus snapshot of version 1 (\`version\` is ${shown(version)}): ${AGAIN}`);
  }
  if (typeof directus !== 'string') {
    throw new Error(`has no version of Directus (\`directus\` is ${shown(directus)}): add it, or ${CONVERT}`);
  }
  if (vendor !== undefined && vendor !== null && vendor !== 'postgres') {
    throw new Error(`was saved from ${shown(vendor)}, not from postgres: ${CONVERT}`);
  }
  const snapshot = { directus, warnings: [] };
  const place = (name, index) => where(text, name, index);
  for (const name of LISTS) snapshot[name] = entries(document, name, place);
  const context = { snapshot, place };
  snapshot.fields = snapshot.fields?.map((field, index) => normalField(field, index, context));
  snapshot.collections = normalCollections(snapshot);
  snapshot.relations = snapshot.relations?.map(normalRelation);
  checkCollections(context);
  checkFields(context);
  checkRelations(context);
  return snapshot;
}

const shown = (value) => (value === undefined ? 'missing' : JSON.stringify(value));

/** One of the lists, its entries checked for their names; undefined if the snapshot does not have it. */
function entries(document, name, place) {
  const found = document[name];
  if (found === undefined || found === null) return undefined;
  if (!Array.isArray(found)) throw new Error(`is not a Directus snapshot: \`${name}\` is not a list; ${AGAIN}`);
  const keys = name === 'collections' ? ['collection'] : ['collection', 'field'];
  const seen = new Map();
  for (const [index, entry] of found.entries()) {
    const missing = keys.find((key) => typeof entry?.[key] !== 'string' || entry[key] === '');
    if (missing) {
      throw new Error(`${place(name, index)}: entry ${index + 1} of \`${name}\` has no \`${missing}\`; ${AGAIN}`);
    }
    const key = keys.map((part) => entry[part]).join('.');
    if (seen.has(key)) {
      throw new Error(
        `${place(name, index)}: ${key} is twice in \`${name}\` (first: ${place(name, seen.get(key))}); remove one of them`,
      );
    }
    seen.set(key, index);
  }
  return found;
}

function normalField(entry, index, { snapshot, place }) {
  const { collection, field } = entry;
  const name = `${collection}.${field}`;
  const type = typeOf(entry);
  if (type === undefined) {
    throw new Error(
      `${place('fields', index)}: the field ${name} has no \`type\`; add it, for example \`type: string\``,
    );
  }
  if (!TYPES.has(type)) {
    throw new Error(
      `${place('fields', index)}: the field ${name} has the type ${shown(type)}, which Directus does not have; use one of its types, for example \`type: string\``,
    );
  }
  if (!isAlias(type)) {
    return without({ collection, field, type, meta: entry.meta ?? undefined, schema: normalColumn(entry.schema) });
  }
  return { collection, field, type: 'alias', meta: aliasMeta(entry.meta ?? {}, name, snapshot.warnings) };
}

/** For a text without a length, the inspector reports -5: PostgreSQL's own code for it, minus four. */
export const normalColumn = (schema) =>
  schema?.max_length <= 0 ? { ...schema, max_length: null } : (schema ?? undefined);

/** Returns the type, or, if it is missing, the type of a column with this data type. */
function typeOf({ type, schema, meta }) {
  if (typeof type === 'string') return type;
  if (type !== undefined && type !== null) return undefined;
  if (!schema) return hasAliasSpecial(meta?.special) ? 'alias' : undefined;
  return [...TYPES].find(
    (candidate) => createdDataType(candidate) === schema.data_type && !['csv', 'hash'].includes(candidate),
  );
}

/** Directus ignores a field without a column if none of its specials marks it as an alias. */
function aliasMeta(meta, name, warnings) {
  if (hasAliasSpecial(meta.special)) return meta;
  warnings.push(`${name}: it has no column and no special that marks it as an alias; alias is added to its special`);
  return { ...meta, special: ['alias', ...list(meta.special)] };
}

/** A collection without `schema` is a folder, unless it has columns. */
function normalCollections({ collections, fields = [] }) {
  const withColumns = new Set(fields.filter(({ type }) => !isAlias(type)).map(({ collection }) => collection));
  return collections?.map(({ collection, meta, schema }) => {
    const implied = schema === undefined && withColumns.has(collection) ? { name: collection } : schema;
    return without({ collection, meta: meta ?? undefined, schema: implied });
  });
}

function normalRelation({ collection, field, related_collection: related, meta, schema }) {
  return without({
    collection,
    field,
    related_collection: related === undefined ? meta?.one_collection : related,
    meta: meta ?? undefined,
    schema: schema ?? undefined,
  });
}

const without = (entry) => Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));

const isSystem = (collection) => collection.startsWith('directus_');

function checkCollections({ snapshot, place }) {
  const { collections } = snapshot;
  if (collections === undefined) return;
  const groups = new Map(collections.map(({ collection, meta }) => [collection, meta?.group ?? null]));
  for (const [index, { collection, schema }] of collections.entries()) {
    const refuse = (problem) => {
      throw new Error(`${place('collections', index)}: the collection ${collection} ${problem}`);
    };
    if (isSystem(collection)) refuse("has a name of Directus' own collections; remove it, or rename it");
    if (collection.includes('/')) refuse('has a / in its name, which Directus does not allow; rename it');
    if (schema && collection.includes(' ')) {
      refuse('has a space in its name, and Directus ignores such tables; rename it');
    }
    if (Buffer.byteLength(collection) > LONGEST_NAME) {
      refuse(`has a name of more than ${LONGEST_NAME} bytes; shorten it`);
    }
    const group = groups.get(collection);
    if (group !== null && !groups.has(group)) {
      refuse(`is in the group ${group}, which is not in the snapshot; add that collection, or set \`group: null\``);
    }
    const cycle = cycleFrom(collection, groups);
    if (cycle) refuse(`is in a group that is inside itself (${cycle.join(' → ')}); set \`group: null\` in one of them`);
  }
}

/** The groups from a collection back to itself, if they lead there. */
function cycleFrom(collection, groups) {
  const path = [collection];
  for (let group = groups.get(collection); group && path.length <= groups.size; group = groups.get(group)) {
    path.push(group);
    if (group === collection) return path;
  }
  return undefined;
}

function checkFields({ snapshot, place }) {
  const { fields, collections } = snapshot;
  if (fields === undefined) return;
  const tables = collections && new Map(collections.map(({ collection, schema }) => [collection, schema]));
  for (const [index, { collection, field }] of fields.entries()) {
    const refuse = (problem) => {
      throw new Error(`${place('fields', index)}: the field ${collection}.${field} ${problem}`);
    };
    if (Buffer.byteLength(field) > LONGEST_NAME) refuse(`has a name of more than ${LONGEST_NAME} bytes; shorten it`);
    if (isSystem(collection) || tables === undefined) continue;
    if (!tables.has(collection)) {
      refuse(
        `is of the collection ${collection}, which is not in the snapshot; add the collection, or remove the field`,
      );
    }
    if (!tables.get(collection)) {
      refuse(
        `is of the collection ${collection}, which has no table; remove the field, or set \`schema: {name: ${collection}}\` in the collection`,
      );
    }
  }
  checkPrimaryKeys(snapshot, place);
}

/** Directus adds a primary key `id` where there is none: so does the boot, and later plans keep it. */
function checkPrimaryKeys({ fields, collections = [], warnings }, place) {
  const keyed = new Set(
    fields
      .filter(({ schema }) => schema?.is_primary_key || schema?.has_auto_increment)
      .map(({ collection }) => collection),
  );
  const withId = new Set(fields.filter(({ field }) => field === 'id').map(({ collection }) => collection));
  for (const [index, { collection, schema }] of collections.entries()) {
    if (!schema || keyed.has(collection)) continue;
    if (withId.has(collection)) {
      throw new Error(
        `${place('collections', index)}: the collection ${collection} has no primary key; set \`is_primary_key: true\` in the schema of one of its fields`,
      );
    }
    warnings.push(
      `${collection}: none of its fields in the snapshot is a primary key; the database's is kept, and a new table gets id`,
    );
  }
}

function checkRelations({ snapshot, place }) {
  const { relations, fields, collections } = snapshot;
  const known = collections && new Set(collections.map(({ collection }) => collection));
  const columns =
    fields &&
    new Set(fields.filter(({ type }) => !isAlias(type)).map(({ collection, field }) => `${collection}.${field}`));
  for (const [index, relation] of (relations ?? []).entries()) {
    const { collection, field, related_collection: related } = relation;
    const name = `${collection}.${field}`;
    const refuse = (problem) => {
      throw new Error(`${place('relations', index)}: the relation ${name} ${problem}; add it, or remove the relation`);
    };
    const isKnown = (other) => known === undefined || isSystem(other) || known.has(other);
    if (!isKnown(collection)) refuse(`is of the collection ${collection}, which is not in the snapshot`);
    // Directus saves no field that it does not track, such as a column of an SQL file, but it saves its relation.
    if (columns && !isSystem(collection) && !columns.has(name)) {
      snapshot.warnings.push(
        `the relation ${name} is of a field that is not in the snapshot: its column must come from an SQL file`,
      );
    }
    if (related && !isKnown(related)) refuse(`leads to the collection ${related}, which is not in the snapshot`);
  }
}

/** `line 12`, where an entry of a list begins; `entry 3` where the text does not have one line per entry. */
function where(text, name, index) {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => new RegExp(`^\\s*["']?${name}["']?:\\s*$`).test(line));
  const indent = /^\s*-(?=\s)/.exec(lines[start + 1] ?? '')?.[0];
  if (start < 0 || indent === undefined) return `entry ${index + 1} of \`${name}\``;
  let count = -1;
  for (let line = start + 1; line < lines.length; line += 1) {
    if (lines[line].startsWith(indent)) count += 1;
    if (count === index) return `line ${line + 1}`;
  }
  return `entry ${index + 1} of \`${name}\``;
}

/** Fields whose columns Directus cannot create: they are left to SQL. */
export const isLeftToSql = ({ type, schema }) => !isCreatable(type) || Boolean(schema?.is_generated);

/** The names that the boot looks up in the database itself. */
export function contents({ directus, collections = [], fields = [], relations = [], warnings }) {
  const names = (entry) => [entry.collection, entry.field];
  const created = fields.filter((field) => !isLeftToSql(field));
  return {
    directus,
    tables: collections.filter(({ schema }) => schema).map(({ collection }) => collection),
    folders: collections.filter(({ schema }) => !schema).map(({ collection }) => collection),
    columns: created.filter(({ type }) => !isAlias(type)).map(names),
    aliases: fields.filter((field) => isAlias(field.type) || isLeftToSql(field)).map(names),
    relations: relations.map(names),
    warnings,
  };
}
