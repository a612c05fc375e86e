// Directus' field types and PostgreSQL's data types: what Directus creates for a type, and how it reads one back. Pure.

/** Specials that mark a field without a column; upstream's constants.js. */
const ALIASES = ['alias', 'o2m', 'm2m', 'm2a', 'o2a', 'files', 'translations'];

/** The data type that Directus creates in PostgreSQL, as its schema inspector names it. */
const CREATED = {
  bigInteger: 'bigint',
  binary: 'bytea',
  boolean: 'boolean',
  csv: 'text',
  date: 'date',
  dateTime: 'timestamp without time zone',
  decimal: 'numeric',
  float: 'real',
  hash: 'character varying',
  integer: 'integer',
  json: 'json',
  string: 'character varying',
  text: 'text',
  time: 'time without time zone',
  timestamp: 'timestamp with time zone',
  uuid: 'uuid',
};

const MOMENTS = new Set(['date', 'dateTime', 'time', 'timestamp']);
const NUMBERS = new Set(['bigInteger', 'decimal', 'float', 'integer']);
const TEXTS = new Set(['csv', 'hash', 'string', 'text']);

/** Every type that a field can have, as upstream's validate-snapshot.js lists them. */
export const TYPES = new Set([
  ...Object.keys(CREATED),
  ...ALIASES,
  'geometry',
  ...['Point', 'LineString', 'Polygon', 'MultiPoint', 'MultiLineString', 'MultiPolygon'].map(
    (shape) => `geometry.${shape}`,
  ),
  'unknown',
]);

export const isAlias = (type) => ALIASES.includes(type);
export const isGeometry = (type) => type.startsWith('geometry');
export const isMoment = (type) => MOMENTS.has(type);
export const isNumber = (type) => NUMBERS.has(type);
export const isText = (type) => TEXTS.has(type);

/** A list that YAML, or an older version, may hold as a text with commas. Directus saves nothing but texts in it. */
export function list(value) {
  if (Array.isArray(value)) return value.filter((entry) => typeof entry === 'string');
  return typeof value === 'string' && value !== '' ? value.split(',') : [];
}

export const hasAliasSpecial = (special) => list(special).some((flag) => ALIASES.includes(flag));

export const createdDataType = (type) => CREATED[type];

/**
 * Returns true if Directus creates this data type for the type. A geometry's data type depends on
 * PostGIS and follows from its type; a missing data type is unspecified.
 */
export const isCreatedAs = (type, dataType) =>
  dataType === undefined || dataType === null || isGeometry(type) || CREATED[type] === dataType;

/**
 * Directus adds no column for a field of such a type: for `unknown` it has none, and it reads `binary` back as
 * `unknown`.
 */
export const isCreatable = (type) => type !== 'unknown';
