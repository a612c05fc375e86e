// Default values of columns, as Directus' snapshots hold them. Pure.
//
// Directus' schema inspector reads pg_get_expr()'s text, cuts it off at the first `::` and strips the outer quotes, so
// a snapshot has `it''s` for the text it's, `'a` for the text a::b, and the same `now()` for a function and a text
// (parseDefaultValue() in @directus/schema, castToObject() and others in get-default-value.js).

import { isMoment, isNumber, isText } from './types.mjs';

const NUMBER = /^\s*[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?\s*$/i;
const NOT_FINITE = /^[-+]?(nan|infinity)$/i;
const UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;
/** The beginning of a constant date or time. */
const MOMENT = /^\s*(\d|[-+]?infinity$|epoch$)/i;
/** The beginning of a function call, in parentheses or not. */
const CALL = /^\(*[a-z_][\w.]*\(/i;
const NOW = /^(now\(\)|current_timestamp)$/i;
const NOW_TO_A_PRECISION = /^current_timestamp\(\d\)$/i;
const RANDOM_UUID = 'gen_random_uuid()';

const NONE = { kind: 'none' };
const literal = (value) => ({ kind: 'literal', value });
const expression = (sql) => ({ kind: 'expression', sql });
const unusable = (reason) => ({ kind: 'unusable', reason });

/** Halves doubled quotes, in all texts of a JSON value too. */
function undoubled(value) {
  if (typeof value === 'string') return value.replaceAll("''", "'");
  if (Array.isArray(value)) return value.map(undoubled);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [undoubled(key), undoubled(part)]));
}

/** Returns true if quotes and parentheses of an SQL expression match. */
function isWhole(sql) {
  const bare = sql.replace(/'[^']*'/g, '');
  let depth = 0;
  for (const character of bare) {
    if (character === "'") return false;
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (depth < 0) return false;
  }
  return depth === 0 && sql.trim() !== '';
}

const CUT_OFF = 'Directus cut it off at its first ::';
const asExpression = (sql) => (isWhole(sql) ? expression(sql.trim()) : unusable(CUT_OFF));

function asText(value) {
  const quotes = value.split("'").length - 1;
  if (value.startsWith("'") && quotes % 2 === 1) return unusable(CUT_OFF);
  if (CALL.test(value) && !isWhole(value)) return unusable(CUT_OFF);
  return literal(undoubled(value));
}

function asJson(value) {
  if (CALL.test(value)) return asExpression(value);
  try {
    return literal(undoubled(JSON.parse(value)));
  } catch {
    // Directus parses valid JSON. A constant that stays text was cut off, or is a JSON string.
    return /^\s*['{[]/.test(value) ? unusable(CUT_OFF) : literal(undoubled(value));
  }
}

/**
 * Dates and times as PostgreSQL writes them; a timestamp's text depends on the session's time zone, its moment does
 * not.
 */
function asMoment(value, type) {
  if (type === 'date') return literal(value.slice(0, 10));
  if (type === 'time' || !/^\d/.test(value)) return literal(value);
  const iso = value
    .trim()
    .replace(' ', 'T')
    .replace(/(T.*[-+]\d\d)$/, '$1:00')
    .replace(/^[^T]*$/, '$&T00:00:00');
  const moment = new Date(type === 'timestamp' ? iso : `${iso.replace(/Z$/, '')}Z`);
  return literal(Number.isNaN(moment.getTime()) ? value : moment.toISOString());
}

/** A value that is not a text: a number, a truth value, or JSON. */
function asValue(value, type) {
  if (isText(type)) return literal(typeof value === 'object' ? JSON.stringify(undoubled(value)) : String(value));
  if (isNumber(type) && typeof value === 'number') return asNumber(value, type);
  if (type === 'boolean' && typeof value === 'number') return literal(value !== 0);
  return literal(undoubled(value));
}

/** Directus reads a numeric without precision as an integer. */
function asNumber(value, type) {
  const fits = Number.isInteger(value) || !['integer', 'bigInteger'].includes(type);
  return fits ? literal(value) : unusable(`it is not an integer, and Directus creates the type ${type}`);
}

/**
 * The meaning of a default value in a snapshot, for a column of this type: `none`, `literal` with its value,
 * `expression` with its SQL, or `unusable` with the reason.
 */
export function meaning(value, type) {
  if (value === null || value === undefined) return NONE;
  if (typeof value !== 'string') return asValue(value, type);
  if (/^nextval\(/i.test(value)) return unusable('it uses a sequence');
  if (NOW.test(value)) return expression('CURRENT_TIMESTAMP');
  if (NOW_TO_A_PRECISION.test(value)) return expression(value.toUpperCase());
  if (value === RANDOM_UUID) return expression(RANDOM_UUID);
  if (isText(type)) return asText(value);
  if (type === 'json') return asJson(value);
  if (isNumber(type) && NUMBER.test(value)) return asNumber(Number(value), type);
  if (isNumber(type) && NOT_FINITE.test(value)) return literal(value);
  if (type === 'boolean' && /^(true|false)$/.test(value)) return literal(value === 'true');
  if (type === 'uuid' && UUID.test(value)) return literal(value.toLowerCase());
  if (isMoment(type) && MOMENT.test(value)) return asMoment(value, type);
  return asExpression(value);
}

/** Returns true if two meanings are the same default. */
export const sameMeaning = (one, other) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));

/** Returns true if two values of snapshots are equal, regardless of the order of their keys. */
export function equal(one, other) {
  const [left, right] = [one ?? null, other ?? null];
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object') return false;
  return JSON.stringify(sorted(left)) === JSON.stringify(sorted(right));
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const keys = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort();
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key])]));
}

/** The SQL of a default with this meaning, or null for none. */
export function sql({ kind, value, sql: text }, type) {
  if (kind === 'none') return null;
  if (kind === 'expression') return text;
  if (type === 'json') return quoted(JSON.stringify(value));
  return typeof value === 'string' ? quoted(value) : quoted(String(value));
}

/** Returns a constant of SQL that does not depend on standard_conforming_strings. */
function quoted(text) {
  const doubled = text.replaceAll("'", "''");
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}
