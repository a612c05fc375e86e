// Errors as the boot's log shows them: on one line, without SQL and its values.

/** The first word of knex' messages: the statement. */
const STATEMENT =
  /^\s*(alter|begin|comment|commit|create|delete|do|drop|grant|insert|lock|release|rollback|savepoint|select|set|truncate|update|with)\b/i;

/** The code or words with which pg and PostgreSQL report that a connection ended. */
const LOST = /^(ECONNRESET|EPIPE|57P0\d)\b|connection (terminated|ended)|connection error/i;

/** SQLSTATEs of statements whose object exists already, or does not exist any more. */
const TORN = new Set(['42P07', '42701', '42710', '42P16', '23505', '42P01', '42703', '42704']);
const HALF_DONE =
  'a part of it exists already, so an earlier bootstrap outside of this image was probably interrupted in it; restore the ' +
  'database as it was before that, or complete or undo that step by hand';

/**
 * The failure for the reply. knex writes the statement with its values, so with passwords, before PostgreSQL's own
 * message, and before the message of a connection that was lost.
 */
export function failure(error) {
  const ofPostgres = error?.severity !== undefined && error.code !== undefined;
  const text = error?.message ?? String(error);
  const message = (ofPostgres || STATEMENT.test(text) ? text.split(' - ').at(-1) : text).replace(/\s+/g, ' ').trim();
  const about = ofPostgres ? [error.detail, error.hint].filter(Boolean).map((part) => `: ${part}`) : [];
  const code = LOST.test(`${error?.code} ${message}`) ? 'connection-lost' : (error?.code ?? null);
  return { message: withoutValues(message + about.join('')), code };
}

/** Messages with the content of a row, of PostgreSQL and of Directus. */
const VALUES = [
  [/(invalid input (?:syntax|value) for .*?|value|out of range): ".*?"(?=$|: )/s, '$1'],
  [/^((?:[^:]*: )*)Value ".*" for/s, '$1A value for'],
  [/^((?:[^:]*: )*)value ".*" is/s, '$1a value is'],
  [/(Key \([^)]*\)=)\(.*?\)(?= (?:already|is|conflicts))/s, '$1(…)'],
  [/(row contains) \(.*\)/s, '$1 (…)'],
];

/** Removes the content of rows from a message. */
const withoutValues = (message) =>
  VALUES.reduce((text, [value, replacement]) => text.replace(value, replacement), message);

/** An error with the failed step in front. `torn`: an interrupted earlier run of the step could be the cause. */
export function inStep(step, error, torn = false) {
  const { message, code } = failure(error);
  const cause = TORN.has(code) && torn ? `: ${HALF_DONE}` : '';
  return Object.assign(new Error(`${step}: ${message}${cause}`), { code });
}
