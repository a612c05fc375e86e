// Applies a plan of compare.mjs with Directus' own services, like upstream's apply-diff.js, except that an edit stays
// an edit.
//
// Deletions come first, and relations before the fields and tables that they connect, so that none of Directus' own
// cascades deletes entities that the snapshot keeps. The services' schema is read once per phase, not after each field.

import { readSchema } from './bootstrap.mjs';
import { usableMeaning, isOfDirectus } from './compare.mjs';
import { sql } from './defaults.mjs';
import { load } from './directus.mjs';
import { inStep } from './failure.mjs';
import { isLeftToSql } from './snapshot.mjs';

/** For every service: clear no caches, no limits, no listeners. */
const OPTIONS = { autoPurgeCache: false, autoPurgeSystemCache: false, bypassLimits: true, bypassEmitAction: () => {} };
/** Rows per INSERT; PostgreSQL allows 65,535 parameters. */
const ROWS = 1000;
/** Properties of a column that only a change of its type can set. */
const SHAPE = ['data_type', 'max_length', 'numeric_precision', 'numeric_scale'];
/** Properties that Directus reads when it creates a column. */
const CREATED_WITH = [
  'max_length',
  'numeric_precision',
  'numeric_scale',
  'is_nullable',
  'is_unique',
  'is_indexed',
  'is_primary_key',
  'has_auto_increment',
];

/** Applies the changes in one nested transaction. */
export async function apply(database, changes) {
  await database.transaction(async (knex) => {
    const work = new Work(knex, changes);
    await work.prepare();
    await work.remove();
    await work.createCollections();
    await work.editFields();
    await work.editRelations();
  });
}

const isNew = ({ diff }) => diff[0].kind === 'N';
const isDeleted = ({ diff }) => diff[0].kind === 'D';
const isEdited = ({ diff }) => diff[0].kind === 'E';

/** The edits of one group, as an object; undefined if there are none. */
function edited({ diff }, group) {
  const edits = diff.filter(({ path }) => path[0] === group && path.length === 2);
  return edits.length > 0 ? Object.fromEntries(edits.map(({ path, rhs }) => [path[1], rhs])) : undefined;
}

class Work {
  constructor(knex, changes) {
    this.knex = knex;
    this.of = (entity, kind) => changes.filter((change) => change.entity === entity && kind(change));
  }

  async prepare() {
    const { CollectionsService } = await load('services/collections.js');
    const { FieldsService } = await load('services/fields.js');
    const { ItemsService } = await load('services/items.js');
    const { PayloadService } = await load('services/payload.js');
    const { RelationsService } = await load('services/relations.js');
    const { getHelpers } = await load('database/helpers/index.js');
    Object.assign(this, { CollectionsService, FieldsService, ItemsService, PayloadService, RelationsService });
    this.indexName = (kind, collection, field) =>
      getHelpers(this.knex).schema.generateIndexName(kind, collection, field);
    await this.refresh();
  }

  /** Reads the schema again; the services check names against it. */
  async refresh() {
    this.schema = await readSchema(this.knex);
    const services = { knex: this.knex, schema: this.schema };
    this.collections = new this.CollectionsService(services);
    this.fields = new this.FieldsService(services);
    this.relations = new this.RelationsService(services);
    this.relationRows = new this.ItemsService('directus_relations', services);
  }

  async remove() {
    const [relations, collections, fields] = ['relation', 'collection', 'field'].map((entity) =>
      this.of(entity, isDeleted),
    );
    for (const { collection, field } of relations) await this.removeRelation(collection, field);
    for (const { collection } of collections) await this.removeRelationsOf(collection);
    for (const { collection } of collections) {
      await step(`deleting the collection ${collection}`, () => this.collections.deleteOne(collection, OPTIONS));
    }
    if (relations.length + collections.length > 0) await this.refresh();
    for (const { collection, field } of fields) {
      // Directus may have deleted it with another field, as the other side of its relation.
      if (!(await this.hasField(collection, field))) continue;
      await step(`deleting the field ${collection}.${field}`, () =>
        this.fields.deleteField(collection, field, OPTIONS),
      );
      await this.refresh();
    }
  }

  /** Directus' schema has no fields with the special no-data. */
  async hasField(collection, field) {
    if (field in (this.schema.collections[collection]?.fields ?? {})) return true;
    return (await this.knex('directus_fields').where({ collection, field }).first('id')) !== undefined;
  }

  async removeRelation(collection, field) {
    const isIt = (relation) => relation.collection === collection && relation.field === field;
    if (!this.schema.relations.some(isIt)) return;
    await step(`deleting the relation ${collection}.${field}`, () =>
      this.relations.deleteOne(collection, field, OPTIONS),
    );
    // In the schema that the services share: with the relation in it, they would also delete other fields.
    this.schema.relations = this.schema.relations.filter((relation) => !isIt(relation));
  }

  async removeRelationsOf(name) {
    const touches = ({ collection, related_collection: related }) => collection === name || related === name;
    for (const { collection, field } of this.schema.relations.filter(touches)) {
      await this.removeRelation(collection, field);
    }
  }

  async createCollections() {
    const changes = parentsFirst(this.of('collection', isNew));
    const created = new Set(changes.map(({ collection }) => collection));
    const fields = Map.groupBy(this.of('field', isNew), ({ collection }) => collection);
    for (const { collection, want } of changes) {
      const wanted = (fields.get(collection) ?? []).map((change) => change.want);
      await step(`creating the collection ${collection}`, () => this.createCollection(want, wanted));
    }
    await this.addFieldRows(changes.flatMap(({ collection }) => fieldRows(fields.get(collection) ?? [])));
    if (created.size > 0) await this.refresh();
    for (const change of this.of('collection', isEdited)) {
      const { collection } = change;
      const meta = edited(change, 'meta');
      await step(`changing the collection ${collection}`, () =>
        this.collections.updateOne(collection, { meta }, OPTIONS),
      );
    }
    this.newFields = this.of('field', isNew).filter(({ collection }) => !created.has(collection));
  }

  /** Creates the table. The rows of directus_fields are inserted later, at once, and not one by one as by Directus. */
  async createCollection({ collection, meta = {}, schema }, fields) {
    const sorted = fields.map((want, index) => ({ ...want, meta: { sort: index + 1, ...want.meta } }));
    // The columns are in the order of the form, since a snapshot may be in the order of the names.
    const place = ({ meta }) => meta.sort ?? Infinity;
    const inOrder = sorted.toSorted((one, other) => place(one) - place(other) || 0);
    const columns = inOrder.filter(({ type }) => type !== 'alias').map((want) => this.payload(want));
    // Directus adds a special to fields of type json, and would insert a row without a name for one without `meta`.
    for (const column of columns) if (column.type !== 'json') delete column.meta;
    const payload = {
      collection,
      meta: structuredClone(meta),
      schema: schema ? { name: collection } : null,
      fields: columns,
    };
    await this.collections.createOne(payload, OPTIONS);
  }

  async addFieldRows(rows) {
    const { fields } = this.schema.collections.directus_fields;
    const known = Object.keys(fields).filter((name) => !fields[name].alias && name !== 'id');
    const pick = (row) =>
      Object.fromEntries(known.filter((name) => row[name] !== undefined).map((name) => [name, row[name]]));
    const service = new this.PayloadService('directus_fields', { knex: this.knex, schema: this.schema });
    const values = await service.processValues('create', rows.map(pick));
    await this.knex.batchInsert('directus_fields', values, ROWS);
  }

  async editFields() {
    const changes = [...this.of('field', isEdited), ...this.of('system-field', isEdited)];
    for (const change of changes) {
      await step(`changing the field ${change.collection}.${change.field}`, () => this.editField(change));
    }
    for (const change of this.newFields) {
      await step(`creating the field ${change.collection}.${change.field}`, () => this.createField(change));
    }
    if (changes.length + this.newFields.length > 0) await this.refresh();
  }

  async createField({ collection, field, want, orphan }) {
    if (!(collection in this.schema.collections)) {
      throw new Error(
        `there is no collection ${collection} that Directus can see: a table with a primary key of one column`,
      );
    }
    // The row of a column that was dropped; Directus would refuse the field as an existing one.
    if (orphan) await this.knex('directus_fields').delete().where({ collection, field });
    await this.fields.createField(collection, this.payload(want), undefined, OPTIONS);
  }

  /** A new field as the parameter of Directus' services. */
  payload(want) {
    const { field, type, meta = {} } = want;
    // The services add flags to `special`; the snapshot must stay as it is.
    const payload = { field, type, meta: structuredClone(meta) };
    // Directus creates only the row of directus_fields for this type, and no column.
    if (isLeftToSql(want)) return { ...payload, type: 'unknown', schema: null };
    return type === 'alias' ? { ...payload, schema: null } : { ...payload, schema: this.column(want) };
  }

  column(want) {
    const schema = Object.fromEntries(CREATED_WITH.map((key) => [key, want.schema?.[key] ?? undefined]));
    const meaning = usableMeaning(want);
    if (schema.has_auto_increment || meaning.kind === 'unusable') return schema;
    return { ...schema, default_value: this.defaultTo(sql(meaning, want.type)) };
  }

  /**
   * Returns a default as raw SQL. As a value, its quotes would be doubled once more. knex turns each `?` into a
   * parameter, in the raw SQL and again in the statement, hence two backslashes.
   */
  defaultTo(text) {
    return text === null ? null : this.knex.raw(text.replaceAll('?', '\\\\?'));
  }

  async editField(change) {
    const { collection, field } = change;
    const meta = edited(change, 'meta');
    // Without `schema`, so that Directus alters no table.
    if (meta) await this.fields.updateField(collection, { field, meta }, OPTIONS);
    const schema = edited(change, 'schema') ?? {};
    const isReshaped = change.diff.some(({ path }) => path[0] === 'type') || SHAPE.some((key) => key in schema);
    if (isReshaped) await this.reshape(change, schema);
    else await this.alter(change, schema);
  }

  /**
   * Changes the type or size. Directus sets every property of a column when it alters one, so all of them are passed.
   */
  async reshape({ collection, field, have, want }, edits) {
    const { type } = want;
    const target = { ...have.schema, ...edits };
    const meaning = usableMeaning(want);
    const isKept = want.schema?.default_value === undefined || meaning.kind === 'unusable';
    const schema = {
      ...Object.fromEntries(CREATED_WITH.map((key) => [key, target[key] ?? undefined])),
      default_value: this.defaultTo(isKept ? (have.expression ?? null) : sql(meaning, type)),
      // The primary key is kept; stated here, it would be added a second time.
      is_primary_key: undefined,
    };
    // The size of the old type does not apply to the new one.
    for (const key of SHAPE) if (type !== have.type && !(key in edits)) delete schema[key];
    this.fields.columnInfo = async () => have.schema;
    await this.fields.updateField(collection, { field, type, schema }, OPTIONS);
  }

  /**
   * Changes nullability, default and indexes, and nothing else. Directus would also convert the column to the data type
   * that it creates: a numeric without precision to an integer, with its fractions rounded.
   */
  async alter({ collection, field, have, want }, edits) {
    const { is_nullable: nullable, is_unique: unique, is_indexed: indexed } = edits;
    if ('default_value' in edits) {
      const text = sql(usableMeaning(want), want.type);
      const action = text === null ? 'drop default' : `set default ${text.replaceAll('?', '\\?')}`;
      await this.knex.raw(`alter table ?? alter column ?? ${action}`, [collection, field]);
    }
    const ofDirectus = (names, key) => names.filter((name) => isOfDirectus(name, have, key));
    await this.knex.schema.alterTable(collection, (table) => {
      if (nullable === true) table.setNullable(field);
      if (nullable === false) table.dropNullable(field);
      if (unique === true) table.unique([field], { indexName: this.indexName('unique', collection, field) });
      if (unique === false) for (const name of ofDirectus(have.uniques, 'is_unique')) table.dropUnique([field], name);
      if (indexed === true) table.index([field], this.indexName('index', collection, field));
      if (indexed === false) for (const name of ofDirectus(have.indexes, 'is_indexed')) table.dropIndex([field], name);
    });
  }

  async editRelations() {
    for (const change of this.of('relation', isEdited)) {
      await step(`changing the relation ${change.collection}.${change.field}`, () => this.editRelation(change));
    }
    for (const change of this.of('relation', isNew)) {
      await step(`creating the relation ${change.collection}.${change.field}`, () => this.createRelation(change));
    }
  }

  /**
   * RelationsService replaces the foreign key at each change, and adds one to a relation without. So it is used only
   * for edits of the foreign key.
   */
  async editRelation(change) {
    const { collection, field, have, want } = change;
    const meta = edited(change, 'meta');
    if (meta && have.meta) await this.relationRows.updateOne(have.meta.id, meta, OPTIONS);
    else if (meta) await this.addRelationRow(have, want);
    const isGained = change.diff.some(({ path }) => path[0] === 'schema' && path.length === 1);
    const edits = isGained ? want.schema : edited(change, 'schema');
    if (!edits) return;
    const { related_collection } = have;
    await this.relations.updateOne(
      collection,
      field,
      { collection, field, related_collection, schema: { ...have.schema, ...edits } },
      OPTIONS,
    );
  }

  async createRelation({ want }) {
    const { collection, field } = want;
    if (!this.schema.collections[collection]?.fields[field]) {
      throw new Error(`the field ${collection}.${field} does not exist`);
    }
    // RelationsService would add a foreign key, and without `schema` the relation has none.
    if (want.related_collection && want.schema) await this.relations.createOne(structuredClone(want), OPTIONS);
    else await this.addRelationRow(want, want);
  }

  addRelationRow({ collection, field, related_collection: related }, { meta }) {
    const row = { ...meta, many_collection: collection, many_field: field, one_collection: related ?? null };
    return this.relationRows.createOne(row, OPTIONS);
  }
}

/** Returns the rows of directus_fields for new fields of a collection, except for those that are created with it. */
function fieldRows(changes) {
  const row = ({ want: { collection, field, meta } }, index) => ({
    sort: index + 1,
    ...structuredClone(meta),
    collection,
    field,
  });
  return changes.map(row).filter((_, index) => changes[index].want.type !== 'json');
}

/** Sorts the collections so that each comes after its group. */
function parentsFirst(changes) {
  const waiting = new Map(changes.map((change) => [change.collection, change]));
  const sorted = [];
  const take = (change) => {
    if (!waiting.delete(change.collection)) return;
    const parent = waiting.get(change.want.meta?.group);
    if (parent) take(parent);
    sorted.push(change);
  };
  for (const change of changes) take(change);
  return sorted;
}

async function step(name, work) {
  try {
    return await work();
  } catch (error) {
    throw inStep(name, error);
  }
}
