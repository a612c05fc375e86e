// The bridge between the boot binary and Directus: one Node process that runs Directus' own code on request.
//
// Usage: node bridge.mjs SNAPSHOT [read-only]. Standard input is a socket: JSON lines in (requests), JSON lines out (replies); the
// messages are described in entrypoint/src/directus/protocol.rs. Standard output and error are Directus' own log. When
// the other end closes, the work is over, or the boot is dead: either way this process ends.
//
// Directus has no public API for any of this, so its modules are imported by path. That holds for the pinned version;
// what they did is checked by the boot binary in the database itself.

import { readFile, readdir } from 'node:fs/promises';
import { Socket } from 'node:net';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { atomically } from './atomic.mjs';
import { bundle, load } from './directus.mjs';

const [snapshotPath, mode] = process.argv.slice(2);

const channel = new Socket({ fd: 0, readable: true, writable: true });
// Some module of Directus looks at process.stdin, which would open descriptor 0 a second time and fail (EEXIST).
Object.defineProperty(process, 'stdin', { value: Readable.from([]) });
const say = (reply) => channel.write(`${JSON.stringify(reply)}\n`);

/** The plan that was made last; what `apply` carries out. */
let planned;

const answer = {
  async 'read-snapshot'() {
    const { version, directus, vendor, collections = [], fields = [], relations = [] } = await readSnapshot();
    if (version !== 1 || typeof directus !== 'string' || ![collections, fields, relations].every(Array.isArray)) {
      throw new Error('is no Directus snapshot of version 1');
    }
    if (vendor !== undefined && vendor !== 'postgres') throw new Error(`was saved from ${vendor}, not from postgres`);
    // The heavy import goes on while the boot runs its SQL; what goes wrong in it shows when it is needed.
    load('utils/apply-snapshot.js').catch(() => {});
    const place = ({ collection, field }) => [collection, field];
    return {
      type: 'snapshot',
      directus,
      tables: collections.filter(({ schema }) => schema).map(({ collection }) => collection),
      folders: collections.filter(({ schema }) => !schema).map(({ collection }) => collection),
      columns: fields.filter(({ schema }) => schema).map(place),
      aliases: fields.filter(({ schema }) => !schema).map(place),
      relations: relations.map(place),
    };
  },

  async bootstrap({ admin: wanted }) {
    const database = await getDatabase();
    const done = await atomically(database, async () => {
      const installed = await install(database);
      const migrated = await migrate(database, installed);
      if (installed) await setProject();
      return { installed, migrated, admin: await ensureAdmin(database, wanted) };
    });
    if (done.migrated > 0) {
      // Directus did so in the transaction, where a server beside us would have cached the old schema once more.
      const { flushCaches } = await load('cache.js');
      await flushCaches(true);
    }
    return { type: 'bootstrapped', ...done };
  },

  async plan() {
    const { getSnapshot } = await load('utils/get-snapshot.js');
    const { getSnapshotDiff } = await load('utils/get-snapshot-diff.js');
    const { validateSnapshot } = await load('utils/validate-snapshot.js');
    const snapshot = await readSnapshot();
    // Its form only: a snapshot of another version is the boot binary's to judge.
    validateSnapshot(snapshot, true);
    const database = await getDatabase();
    const current = await getSnapshot({ database, schema: await freshSchema() });
    const diff = getSnapshotDiff(current, snapshot);
    planned = { snapshot, current, diff, database };
    return { type: 'plan', directus: current.directus, changes: changes(diff) };
  },

  async apply() {
    const { applySnapshot } = await load('utils/apply-snapshot.js');
    const { snapshot, current, diff, database } = planned;
    await applySnapshot(snapshot, { current, diff, database });
    return { type: 'applied' };
  },
};

/** Directus' system tables, if there are none; says whether there were none. */
async function install(database) {
  const { isInstalled } = await load('database/index.js');
  if (await isInstalled()) return false;
  const { default: seed } = await load('database/seeds/run.js');
  try {
    await seed(database);
  } catch (error) {
    throw inPlace("installing Directus' system tables", error, true);
  }
  return true;
}

/** Directus' migrations and custom ones; says how many ran. */
async function migrate(database, installed) {
  const { default: run } = await load('database/migrations/run.js');
  const done = new Set((await database('directus_migrations').select('version')).map((row) => row.version));
  const pending = [...(await ownMigrations()), ...(await customMigrations())]
    .filter((file) => !done.has(version(file)))
    .sort((one, other) => (version(one) > version(other) ? 1 : -1));
  let count = 0;
  // Directus' error does not say which migration it is of.
  const counting = (_, { sql }) => {
    if (sql.startsWith('insert into "directus_migrations"')) count += 1;
  };
  database.on('query-response', counting);
  try {
    await run(database, 'latest');
  } catch (error) {
    if (count === pending.length) throw error;
    throw inPlace(`Directus' migration ${pending[count]}`, error, !installed);
  } finally {
    database.off('query-response', counting);
  }
  return count;
}

/** Makes the first administrator, if one is wanted and there is none; says which. */
async function ensureAdmin(database, wanted) {
  if (await hasAdministrator(database)) return 'present';
  if (!wanted) return 'none';
  const email = String((await env()).ADMIN_EMAIL);
  // As Directus compares them.
  const user = await database('directus_users').whereRaw('lower(email) = lower(?)', email).first('status');
  if (user) {
    const [state, way] =
      user.status === 'active'
        ? ["without administrator's rights", 'give them the role Administrator']
        : [`that is ${user.status}`, "make them active, with administrator's rights"];
    throw new Error(
      `there is no active administrator, and there is a user ${email} ${state}: ${way}, or set another ADMIN_EMAIL`,
    );
  }
  const { createAdmin } = await load('utils/create-admin.js');
  await createAdmin(await freshSchema());
  if (!(await hasAdministrator(database))) throw new Error(`Directus made no administrator ${email}`);
  return 'made';
}

/** Whether an active user has administrator's rights: by themselves, by their role, or by a role above it. */
async function hasAdministrator(database) {
  const { rows } = await database.raw(`
    with recursive held ("user", role) as (
      select id, role from directus_users where status = 'active'
      union
      select held."user", above.parent from held join directus_roles above on above.id = held.role
    )
    select exists (
      select from held
      join directus_access access on access."user" = held."user" or access.role = held.role
      join directus_policies policy on policy.id = access.policy
      where policy.admin_access
    ) as found`);
  return rows[0].found;
}

/** An error with what failed in front; `torn`: what earlier, half-done work would look like may be its cause. */
function inPlace(what, error, torn) {
  const { message, code } = failure(error);
  const cause = TORN.has(code) && torn ? `: ${HALF_DONE}` : '';
  return Object.assign(new Error(`${what}: ${message}${cause}`), { code });
}

/** What PostgreSQL says when something is there already, or is not there any more. */
const TORN = new Set(['42P07', '42701', '42710', '42P16', '23505', '42P01', '42703', '42704']);
const HALF_DONE =
  'some of it is done already, so an earlier bootstrap outside of this image was probably cut off in it; restore the ' +
  'database as it was before that, or finish or take back that step by hand';

async function readSnapshot() {
  let snapshot;
  try {
    const { default: yaml } = await load('package/yaml.js');
    snapshot = yaml.load(await readFile(snapshotPath, 'utf8'));
  } catch (error) {
    const { line, column } = error.mark ?? {};
    const at = line === undefined ? '' : ` in line ${line + 1}, column ${column + 1}`;
    throw new Error(`is no YAML: ${error.reason ?? error.message}${at}`);
  }
  if (snapshot === null || typeof snapshot !== 'object') throw new Error('is no Directus snapshot of version 1');
  return snapshot;
}

/** What upstream's bootstrap does with PROJECT_NAME and PROJECT_OWNER on a new database. */
async function setProject() {
  const { PROJECT_NAME: name, PROJECT_OWNER: owner } = await env();
  if (!name && !owner) return;
  const { SettingsService } = await load('services/settings.js');
  const settings = new SettingsService({ schema: await freshSchema() });
  if (name) await settings.upsertSingleton({ project_name: String(name) });
  // Upstream leaves an owner that is no e-mail address alone, without a word.
  if (/^[^@\s]+@[^@\s]+$/.test(owner ?? '')) {
    await settings.setOwner({ project_owner: owner, org_name: null, project_usage: null, product_updates: false });
  }
}

/** The files of Directus' own migrations. */
async function ownMigrations() {
  const files = await readdir(fileURLToPath(new URL('database/migrations/', bundle)));
  return files.map(bare).filter((file) => /^[0-9]+[A-Z]-[^.]+$/.test(file));
}

/** The files of custom migrations; those are not part of the image. */
async function customMigrations() {
  const files = await readdir(resolve((await env()).MIGRATIONS_PATH)).catch(() => []);
  return files.filter((file) => file.includes('-') && /\.[cm]?js$/.test(file)).map(bare);
}

const bare = (file) => file.replace(/\.[cm]?js$/, '');
const version = (file) => file.split('-')[0];

/** The variables as Directus reads them. */
const env = async () => (await load('package/env.js')).useEnv();

async function freshSchema() {
  const { getSchema } = await load('utils/get-schema.js');
  return getSchema({ database: await getDatabase(), bypassCache: true });
}

let database;

/**
 * Directus' own pool. A statement of a process that has died runs to its end, and is committed under the next boot: so
 * PostgreSQL looks whether we are still there (before 14 it cannot).
 */
async function getDatabase() {
  if (database) return database;
  const { default: getDirectusDatabase } = await load('database/index.js');
  database = getDirectusDatabase();
  database.client.pool.on('createSuccess', (_, connection) => {
    // For a report nothing may change, whatever Directus does.
    const only = mode === 'read-only' ? 'set default_transaction_read_only = on; ' : '';
    const watch = "select set_config(name, '500', false) from pg_settings where name = 'client_connection_check_interval'";
    // A connection that cannot even do this fails in its first statement too, where somebody waits for it.
    connection.query(only + watch).catch(() => {});
  });
  return database;
}

/** Directus' diff as a flat list; whole new entities are not spelt out. */
function changes(diff) {
  const flat = (entity, items) =>
    items.map(({ collection, field, diff }) => ({
      entity,
      collection,
      field,
      diff: diff.map(({ kind, path, lhs, rhs }) =>
        path ? { kind, path, lhs: lhs ?? null, rhs: rhs ?? null } : { kind },
      ),
    }));
  return [
    ...flat('collection', diff.collections),
    ...flat('field', diff.fields),
    ...flat('system-field', diff.systemFields),
    ...flat('relation', diff.relations),
  ];
}

/** What knex begins a message with: the statement. */
const STATEMENT =
  /^\s*(alter|begin|comment|commit|create|delete|do|drop|grant|insert|lock|release|rollback|savepoint|select|set|truncate|update|with)\b/i;

/** How pg and PostgreSQL say that a connection ended: by a code, or in words. */
const LOST = /^(ECONNRESET|EPIPE|57P0\d)\b|connection (terminated|ended)|connection error/i;

/**
 * An error for the log, on one line. knex puts the statement with its values, so passwords, before PostgreSQL's own
 * message, and before that of a connection that was lost.
 */
function failure(error) {
  const ofPostgres = error.severity !== undefined && error.code !== undefined;
  const said = error.message ?? String(error);
  const message = (ofPostgres || STATEMENT.test(said) ? said.split(' - ').at(-1) : said).replace(/\s+/g, ' ').trim();
  const about = ofPostgres ? [error.detail, error.hint].filter(Boolean).map((part) => `: ${part}`) : [];
  const code = LOST.test(`${error.code} ${message}`) ? 'connection-lost' : (error.code ?? null);
  return { type: 'error', message: message + about.join(''), code };
}

async function main() {
  for await (const line of createInterface({ input: channel })) {
    const { do: what, ...about } = JSON.parse(line);
    try {
      say(await answer[what](about));
    } catch (error) {
      say(failure(error));
    }
  }
}

await main();
await database?.destroy();
process.exit(0);
