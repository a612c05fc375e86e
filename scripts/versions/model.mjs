// Builds a rich data model in a running Directus over its REST API, with the requests that the admin app's data model
// pages send. save.sh uses it to save snapshots of one model with many versions of Directus.
//
// Usage: DIRECTUS_URL=… ADMIN_EMAIL=… ADMIN_PASSWORD=… node model.mjs
//
// The model is the same for every version, except that columns of directus_collections and directus_fields that a
// version does not have are omitted. It has each field type of the app that does not need PostGIS, and fewer than the
// 25 tables that Directus 12 allows without a licence. Rows for each table are in crates/acceptance/src/versions/rows.sql.

const { DIRECTUS_URL: url, ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = process.env;

let token;

async function request(method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} ${JSON.stringify(body)}: ${response.status} ${answer}`);
  return answer === '' ? undefined : JSON.parse(answer).data;
}

token = (await request('POST', '/auth/login', { email, password })).access_token;

/** Columns of a system collection in this version. */
async function columns(collection) {
  return new Set((await request('GET', `/fields/${collection}`)).map(({ field }) => field));
}

const collectionColumns = await columns('directus_collections');
const fieldColumns = await columns('directus_fields');

const known = (meta, names) => Object.fromEntries(Object.entries(meta).filter(([name]) => names.has(name)));

// ---- requests of the data model pages -------------------------------------------------------------------------------

/** A collection without a table. Directus 11.1 creates it, but then returns the error that it does not exist. */
async function folder(collection, meta) {
  const body = { collection, meta: known({ icon: 'folder', ...meta }, collectionColumns), schema: null };
  try {
    await request('POST', '/collections', body);
  } catch (error) {
    const all = await request('GET', '/collections');
    if (!all.some((created) => created.collection === collection)) throw error;
  }
}

const table = (collection, fields, meta) =>
  request('POST', '/collections', { collection, fields, meta: known(meta, collectionColumns), schema: {} });

const field = (collection, { meta, ...rest }) =>
  request('POST', `/fields/${collection}`, { ...rest, meta: known(meta ?? {}, fieldColumns) });

const relation = (body) => request('POST', '/relations', body);

const autoIncrement = (type = 'integer') => ({
  field: 'id',
  type,
  meta: { hidden: true, interface: 'input', readonly: true },
  schema: { is_primary_key: true, has_auto_increment: true },
});

const uuidKey = () => ({
  field: 'id',
  type: 'uuid',
  meta: { hidden: true, readonly: true, interface: 'input', special: ['uuid'] },
  schema: { is_primary_key: true, length: 36, has_auto_increment: false },
});

const manualKey = (name) => ({
  field: name,
  type: 'string',
  meta: { interface: 'input', readonly: false, hidden: false },
  schema: { is_primary_key: true, length: 255, has_auto_increment: false },
});

/** A field with a column, as the app creates it: some types imply a special. */
function column(name, type, { schema = {}, ...meta } = {}) {
  const special = { json: 'cast-json', csv: 'cast-csv', boolean: 'cast-boolean', uuid: 'uuid', hash: 'hash' }[type];
  return { field: name, type, schema, meta: { interface: 'input', ...(special && { special: [special] }), ...meta } };
}

const addColumn = (collection, ...definition) => field(collection, column(...definition));

const hiddenColumn = (name, type) => ({ field: name, type, schema: {}, meta: { hidden: true } });

const alias = (name, special, meta) => ({ field: name, type: 'alias', meta: { special, ...meta } });

const addPresentation = (collection, name, meta) => field(collection, alias(name, ['alias', 'no-data'], meta));

const addGroup = (collection, name, meta) => field(collection, alias(name, ['alias', 'no-data', 'group'], meta));

/** Many to one: a column with a foreign key; with `list`, also the field for the other direction. */
async function manyToOne(collection, name, type, related, options = {}) {
  const { schema = {}, onDelete = 'SET NULL', list, meta, ...more } = options;
  const file = related === 'directus_files';
  const standard = { interface: file ? 'file-image' : 'select-dropdown-m2o', special: [file ? 'file' : 'm2o'] };
  await field(collection, { field: name, type, schema, meta: { ...standard, ...meta } });
  if (list) await field(related, alias(list, ['o2m'], { interface: 'list-o2m' }));
  await relation({
    collection,
    field: name,
    related_collection: related,
    meta: { sort_field: null, ...more, ...(list && { one_field: list }) },
    schema: { on_delete: onDelete },
  });
}

const junctionTable = (name) =>
  table(name, [{ field: 'id', type: 'integer', schema: { has_auto_increment: true }, meta: { hidden: true } }], {
    hidden: true,
    icon: 'import_export',
  });

/**
 * Many to many, files and translations: an alias and a junction table with two foreign keys; with `sort`, also a sort
 * column; with `list`, also the field for the other direction.
 */
async function manyToMany(collection, name, [special, ui, meta], junction, left, right, options = {}) {
  const { sort, list, onDelete = 'SET NULL', deselect = 'nullify' } = options;
  await field(collection, alias(name, [special], { interface: ui, ...meta }));
  await junctionTable(junction);
  if (list) await field(right.collection, alias(list, ['m2m'], { interface: 'list-m2m' }));
  await field(junction, hiddenColumn(left.field, left.type));
  await field(junction, hiddenColumn(right.field, right.type));
  if (sort) await field(junction, hiddenColumn(sort, 'integer'));
  await relation({
    collection: junction,
    field: right.field,
    related_collection: right.collection,
    meta: { one_field: list ?? null, sort_field: null, one_deselect_action: 'nullify', junction_field: left.field },
    schema: { on_delete: 'SET NULL' },
  });
  await relation({
    collection: junction,
    field: left.field,
    related_collection: collection,
    meta: { one_field: name, sort_field: sort ?? null, one_deselect_action: deselect, junction_field: right.field },
    schema: { on_delete: onDelete },
  });
}

/** Many to any: a junction table that refers to the other row by its collection and key. */
async function manyToAny(collection, name, junction, left, allowed) {
  await field(collection, alias(name, ['m2a'], { interface: 'list-m2a', options: { enableSelect: false } }));
  await junctionTable(junction);
  await field(junction, hiddenColumn(left.field, left.type));
  await field(junction, hiddenColumn('item', 'string'));
  await field(junction, hiddenColumn('sort', 'integer'));
  await field(junction, hiddenColumn('collection', 'string'));
  await relation({
    collection: junction,
    field: 'item',
    related_collection: null,
    meta: {
      one_field: null,
      sort_field: null,
      one_deselect_action: 'nullify',
      one_allowed_collections: allowed,
      one_collection_field: 'collection',
      junction_field: left.field,
    },
    schema: null,
  });
  await relation({
    collection: junction,
    field: left.field,
    related_collection: collection,
    meta: { one_field: name, sort_field: 'sort', one_deselect_action: 'delete', junction_field: 'item' },
    schema: { on_delete: 'CASCADE' },
  });
}

/** The app's optional fields of a new collection, and their relations. */
const systemFields = [
  column('status', 'string', {
    schema: { default_value: 'draft', is_nullable: false },
    interface: 'select-dropdown',
    options: {
      choices: [
        { text: '$t:published', value: 'published', color: 'var(--theme--primary)' },
        { text: '$t:draft', value: 'draft', color: 'var(--theme--foreground)' },
        { text: '$t:archived', value: 'archived', color: 'var(--theme--warning)' },
      ],
    },
    display: 'labels',
    display_options: { showAsDot: true },
    width: 'full',
  }),
  column('sort', 'integer', { hidden: true }),
  ...['created', 'updated'].flatMap((event) => [
    column(`user_${event}`, 'uuid', {
      special: [`user-${event}`],
      interface: 'select-dropdown-m2o',
      options: { template: '{{avatar}} {{first_name}} {{last_name}}' },
      display: 'user',
      readonly: true,
      hidden: true,
      width: 'half',
    }),
    column(`date_${event}`, 'timestamp', {
      special: [`date-${event}`],
      interface: 'datetime',
      readonly: true,
      hidden: true,
      width: 'half',
      display: 'datetime',
      display_options: { relative: true },
    }),
  ]),
];

async function systemRelations(collection) {
  for (const name of ['user_created', 'user_updated']) {
    await relation({ collection, field: name, related_collection: 'directus_users', schema: {} });
  }
}

// ---- folders and tables ---------------------------------------------------------------------------------------------

await folder('editorial', {
  color: '#6644FF',
  note: 'Published content',
  translations: [{ language: 'de-DE', translation: 'Redaktion' }],
  sort: 1,
});
await folder('editorial_blocks', { group: 'editorial', collapse: 'closed', hidden: true });
await folder('reference', { icon: 'menu_book', collapse: 'locked', sort: 2 });

const languageFields = [
  { field: 'code', type: 'string', schema: { is_primary_key: true }, meta: {} },
  { field: 'name', type: 'string', schema: {}, meta: {} },
  { field: 'direction', type: 'string', schema: { default_value: 'ltr' }, meta: { interface: 'select-dropdown' } },
];
await table('languages', languageFields, { group: 'reference' });

await table('venues', [manualKey('code')], {
  group: 'reference',
  icon: 'place',
  color: '#2ECDA7',
  display_template: '{{name}} ({{code}})',
  accountability: 'activity',
  translations: [
    { language: 'en-US', translation: 'Venues', singular: 'Venue', plural: 'Venues' },
    { language: 'de-DE', translation: 'Orte', singular: 'Ort', plural: 'Orte' },
  ],
});
await addColumn('venues', 'name', 'string', {
  schema: { is_nullable: false, max_length: 120 },
  required: true,
  width: 'half',
});
await addColumn('venues', 'capacity', 'integer', {
  schema: { default_value: 0 },
  width: 'half',
  options: { min: 0, max: 100000 },
  validation: { _and: [{ capacity: { _gte: 0 } }] },
  validation_message: 'The capacity must not be negative.',
});

await table('topics', [autoIncrement(), hiddenColumn('sort', 'integer')], {
  group: 'reference',
  icon: 'account_tree',
  sort_field: 'sort',
  archive_field: null,
  display_template: '{{parent.name}} › {{name}}',
  accountability: null,
});
await addColumn('topics', 'name', 'string', {
  schema: { is_nullable: false, is_unique: true, max_length: 60 },
  note: 'Unique among all topics',
  translations: [{ language: 'de-DE', translation: 'Bezeichnung' }],
});
await addColumn('topics', 'color', 'string', {
  schema: { max_length: 7, default_value: '#A2B5CD' },
  interface: 'select-color',
  display: 'color',
  searchable: false,
});
// For a relation of a table to itself, the app allows NO ACTION only.
const children = { onDelete: 'NO ACTION', list: 'children', sort_field: 'sort' };
await manyToOne('topics', 'parent', 'integer', 'topics', children);

// ---- articles: a collection that uses most features -----------------------------------------------------------------

await table('articles', [uuidKey(), ...systemFields], {
  group: 'editorial',
  icon: 'article',
  note: 'Each article has its own page.',
  color: '#FFA439',
  display_template: '{{title}} · {{status}}',
  preview_url: 'https://example.com/articles/{{slug}}?version={{$version}}',
  versioning: true,
  sort_field: 'sort',
  archive_field: 'status',
  archive_value: 'archived',
  unarchive_value: 'draft',
  archive_app_filter: false,
  item_duplication_fields: ['title', 'body', 'topics.topics_id'],
  translations: [{ language: 'de-DE', translation: 'Artikel', singular: 'Artikel', plural: 'Artikel' }],
  sort: 1,
});
await systemRelations('articles');

await addPresentation('articles', 'divider_text', {
  interface: 'presentation-divider',
  options: { title: 'Text', icon: 'notes', inlineTitle: true },
});
await addColumn('articles', 'title', 'string', {
  schema: { is_nullable: false, max_length: 120 },
  required: true,
  note: '$t:article_title_note',
  options: { trim: true, iconLeft: 'title', placeholder: 'Keep it short' },
  display: 'formatted-value',
  display_options: { bold: true },
});
await addColumn('articles', 'slug', 'string', {
  schema: { is_unique: true, is_indexed: true, max_length: 80 },
  options: { slug: true, font: 'monospace' },
  width: 'half-left',
  validation: { _and: [{ slug: { _regex: '^[a-z0-9-]+$' } }] },
  validation_message: 'Lower case letters, digits and hyphens only',
});
await addColumn('articles', 'published_on', 'dateTime', {
  schema: { is_indexed: true },
  interface: 'datetime',
  options: { includeSeconds: true },
  width: 'half-right',
  conditions: [
    {
      name: 'published',
      rule: { _and: [{ status: { _eq: 'published' } }] },
      required: true,
      hidden: false,
      options: { use24: true },
    },
    { name: 'archived', rule: { _and: [{ status: { _eq: 'archived' } }] }, readonly: true },
  ],
});
await addColumn('articles', 'body', 'text', {
  interface: 'input-rich-text-html',
  options: { toolbar: ['bold', 'italic', 'h2', 'customLink'], softLength: 5000 },
  width: 'fill',
});
await addColumn('articles', 'tags', 'csv', { interface: 'tags', display: 'labels' });

await addGroup('articles', 'people', { interface: 'group-raw' });
await manyToOne('articles', 'hero', 'uuid', 'directus_files', { meta: { group: 'people', options: { crop: false } } });
await manyToOne('articles', 'author', 'uuid', 'directus_users', {
  list: 'articles',
  meta: {
    group: 'people',
    options: { template: '{{first_name}} {{last_name}}', filter: { status: { _eq: 'active' } } },
    display: 'user',
  },
});

await addGroup('articles', 'seo', { interface: 'group-accordion', options: { accordionMode: true, start: 'first' } });
await addGroup('articles', 'seo_search', {
  interface: 'group-detail',
  group: 'seo',
  options: { start: 'closed', headerIcon: 'search' },
});
await addColumn('articles', 'seo_title', 'string', {
  schema: { max_length: 60 },
  group: 'seo_search',
  hidden: true,
  readonly: true,
});
await addPresentation('articles', 'seo_hint', {
  interface: 'presentation-notice',
  group: 'seo_search',
  options: { text: 'The title is used "as it is".\nLeave empty for none.', color: 'warning', icon: 'info' },
});

const article = { field: 'articles_id', type: 'uuid' };
const translations = ['translations', 'translations', { options: { languageField: 'name', defaultLanguage: 'en-US' } }];
const language = { collection: 'languages', field: 'languages_code', type: 'string' };
await manyToMany('articles', 'translations', translations, 'articles_translations', article, language, {
  onDelete: 'CASCADE',
  deselect: 'delete',
});
await addColumn('articles_translations', 'title', 'string');

const file = { collection: 'directus_files', field: 'directus_files_id', type: 'uuid' };
await manyToMany('articles', 'gallery', ['files', 'files'], 'articles_files', article, file, { sort: 'sort' });

const topics = ['m2m', 'list-m2m', { options: { template: '{{topics_id.name}}' } }];
const topic = { collection: 'topics', field: 'topics_id', type: 'integer' };
await manyToMany('articles', 'topics', topics, 'articles_topics', article, topic, { list: 'articles' });

const blocks = { group: 'editorial_blocks', accountability: 'all' };
await table('block_text', [autoIncrement()], blocks);
await addColumn('block_text', 'content', 'text', { schema: { is_nullable: false }, interface: 'input-rich-text-md' });
await table('block_quote', [uuidKey()], blocks);
await addColumn('block_quote', 'quote', 'string', { schema: { max_length: 2000 } });
await table('block_embed', [manualKey('key')], blocks);
await addColumn('block_embed', 'settings', 'json', {
  interface: 'list',
  options: {
    fields: [{ field: 'url', name: 'url', type: 'string', meta: { field: 'url', type: 'string', interface: 'input' } }],
  },
});
await manyToAny('articles', 'blocks', 'articles_blocks', article, ['block_text', 'block_quote', 'block_embed']);

// ---- letters: each action of a foreign key; grouped under a table instead of a folder -------------------------------

await table('letters', [autoIncrement('bigInteger')], {
  group: 'articles',
  icon: 'mail',
  hidden: true,
  collapse: 'closed',
  item_duplication_fields: null,
});
await manyToOne('letters', 'article', 'uuid', 'articles', {
  schema: { is_nullable: false },
  onDelete: 'CASCADE',
  list: 'letters',
  one_deselect_action: 'delete',
});
await manyToOne('letters', 'sent_from', 'string', 'venues', {
  schema: { default_value: 'home' },
  onDelete: 'SET DEFAULT',
});
await manyToOne('letters', 'printed_at', 'string', 'venues', { onDelete: 'RESTRICT' });
await manyToOne('letters', 'answers', 'bigInteger', 'letters', { onDelete: 'NO ACTION' });
await manyToOne('letters', 'written_by_role', 'uuid', 'directus_roles', {
  meta: { special: ['role-created', 'm2o'], readonly: true },
});
await addColumn('letters', 'received_on', 'date', { interface: 'datetime', special: ['date-created'] });
await addColumn('letters', 'last_seen', 'dateTime', {
  interface: 'datetime',
  special: ['date-created', 'date-updated'],
});

// ---- a singleton, and fields of system collections ------------------------------------------------------------------

await table('site', [autoIncrement()], { singleton: true, icon: 'settings', sort: 3 });
await addColumn('site', 'name', 'string', { schema: { default_value: 'Drivers & Co.', is_nullable: false } });
await manyToOne('site', 'logo', 'uuid', 'directus_files', { meta: { interface: 'file' } });

await addColumn('directus_users', 'phone', 'string', {
  schema: { is_unique: true, max_length: 32 },
  options: { iconLeft: 'phone' },
});
await manyToOne('directus_users', 'home_venue', 'string', 'venues');
const user = { field: 'directus_users_id', type: 'uuid' };
const venue = { collection: 'venues', field: 'venues_code', type: 'string' };
const favourites = 'junction_directus_users_venues';
await manyToMany('directus_users', 'favourite_venues', ['m2m', 'list-m2m'], favourites, user, venue);
await addColumn('directus_files', 'alt_text', 'string', {
  schema: { default_value: '' },
  note: 'Read aloud by screen readers',
});

// ---- field types that the tables above do not have ------------------------------------------------------------------

await table('types_nullable', [autoIncrement()], { icon: 'category', sort: 4 });
for (const [name, type, options] of [
  ['a_boolean', 'boolean', { interface: 'boolean' }],
  ['a_big_integer', 'bigInteger'],
  ['a_float', 'float'],
  ['a_decimal', 'decimal', { schema: { numeric_precision: 10, numeric_scale: 2 } }],
  ['a_timestamp', 'timestamp', { interface: 'datetime' }],
  ['a_time', 'time', { interface: 'datetime' }],
  ['a_json', 'json', { interface: 'input-code', options: { language: 'json' } }],
  ['a_csv', 'csv', { interface: 'select-multiple-dropdown', options: { choices: [{ text: 'One', value: '1' }] } }],
  ['a_uuid', 'uuid'],
  ['a_hash', 'hash', { interface: 'input-hash', display: 'formatted-value' }],
]) {
  await addColumn('types_nullable', name, type, { width: 'half', ...options });
}

// No default value contains an apostrophe: Directus reads it back as two, so each apply would double it again.
await table('types_default', [autoIncrement()], { icon: 'category', sort: 5 });
for (const [name, type, value, schema] of [
  ['a_string', 'string', '100 % "real" \\ ünï', { max_length: 50 }],
  ['an_empty_string', 'string', ''],
  ['a_numeric_string', 'string', '007'],
  ['a_text', 'text', 'First line\n"second": line'],
  ['a_true', 'boolean', true],
  ['a_false', 'boolean', false],
  ['an_integer', 'integer', -1],
  ['a_big_integer', 'bigInteger', 4294967296],
  ['a_float', 'float', 0.25],
  ['a_decimal', 'decimal', 19.9, { numeric_precision: 12, numeric_scale: 3 }],
  ['a_timestamp', 'timestamp', 'CURRENT_TIMESTAMP'],
  ['a_date_time', 'dateTime', '2024-02-29T12:30:00'],
  ['a_date', 'date', 'now()'],
  ['a_time', 'time', '08:15:00'],
  ['a_json', 'json', { unit: 'km', steps: [1, 2.5], none: null }],
  ['an_empty_list', 'json', []],
  ['a_uuid', 'uuid', '00000000-0000-4000-8000-000000000000'],
]) {
  await addColumn('types_default', name, type, {
    schema: { default_value: value, is_nullable: false, ...schema },
    width: 'half',
    required: true,
  });
}
// Directus 10 quotes the function, which PostgreSQL rejects: in that version the field has no default.
const generated = (schema) => addColumn('types_default', 'a_generated_uuid', 'uuid', { schema, width: 'half' });
await generated({ default_value: 'gen_random_uuid()', is_nullable: false }).catch(() => generated({}));

await table('types_unique', [autoIncrement()], { icon: 'category', sort: 6 });
for (const [name, type, schema] of [
  ['a_string', 'string', { is_unique: true, is_nullable: false, max_length: 16 }],
  ['an_integer', 'integer', { is_unique: true, is_nullable: false, default_value: 1 }],
  ['a_decimal', 'decimal', { is_indexed: true, is_nullable: false, default_value: 0 }],
  ['a_date', 'date', { is_unique: true, is_indexed: true }],
  ['a_uuid', 'uuid', { is_unique: true }],
]) {
  await addColumn('types_unique', name, type, { schema, width: 'half' });
}

// An index on a column of a system table. Snapshots list it in systemFields since Directus 11.13, earlier ones omit it.
if ((await request('GET', '/fields/articles/slug')).schema.is_indexed) {
  await request('PATCH', '/fields/directus_users/last_name', { schema: { is_indexed: true } });
}
