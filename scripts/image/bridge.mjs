// The bridge between the boot binary and Directus: one Node process that runs Directus' own code on request.
//
// Usage: node bridge.mjs SNAPSHOT. Standard input is a socket: JSON lines in (requests), JSON lines out (replies); the
// messages are described in entrypoint/src/directus/protocol.rs. Standard output and error are Directus' own log. When
// the other end closes, the work is over, or the boot is dead: either way this process ends.
//
// Directus has no public API for any of this, so its modules are imported from where @directus/api lies. That holds for
// the pinned version; what they did is checked by the boot binary in the database itself.

import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const [snapshotPath] = process.argv.slice(2);

// `exports` of @directus/api maps ./cli/run.js to dist/cli/run.js; all else is found from there.
const dist = new URL('../', import.meta.resolve('@directus/api/cli/run.js'));
const load = (module) => import(new URL(module, dist));
// What @directus/api depends on is not hoisted: it resolves from @directus/api's own place only.
const requireAsApi = createRequire(new URL('index.js', dist));

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

  async bootstrap() {
    const { isInstalled } = await load('database/index.js');
    const { default: migrate } = await load('database/migrations/run.js');
    const database = await getDatabase();
    const installed = !(await isInstalled());
    if (installed) {
      const { default: seed } = await load('database/seeds/run.js');
      // All system tables or none: Directus takes one table for an installation.
      await database.transaction((transaction) => seed(transaction));
    }
    const applied = async () => (await database('directus_migrations').select('version')).map((row) => row.version);
    const before = new Set(await applied());
    await migrate(database, 'latest');
    const after = await applied();
    if (installed) await setProject();
    return {
      type: 'bootstrapped',
      installed,
      migrated: after.filter((version) => !before.has(version)).length,
      versions: await migrationVersions(),
    };
  },

  async 'create-admin'() {
    const { createAdmin } = await load('utils/create-admin.js');
    await createAdmin(await freshSchema());
    return { type: 'admin-created' };
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

async function readSnapshot() {
  let snapshot;
  try {
    snapshot = requireAsApi('js-yaml').load(await readFile(snapshotPath, 'utf8'));
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
  const { useEnv } = requireAsApi('@directus/env');
  const { PROJECT_NAME: name, PROJECT_OWNER: owner } = useEnv();
  if (!name && !owner) return;
  const { SettingsService } = await load('services/settings.js');
  const settings = new SettingsService({ schema: await freshSchema() });
  if (name) await settings.upsertSingleton({ project_name: String(name) });
  // Upstream leaves an owner that is no e-mail address alone, without a word.
  if (/^[^@\s]+@[^@\s]+$/.test(owner ?? '')) {
    await settings.setOwner({ project_owner: owner, org_name: null, project_usage: null, product_updates: false });
  }
}

/** Versions of all migrations that this Directus has; custom ones (MIGRATIONS_PATH) are not part of the image. */
async function migrationVersions() {
  const files = await readdir(fileURLToPath(new URL('database/migrations/', dist)));
  return files.filter((file) => /^[0-9]+[A-Z]-[^.]+\.js$/.test(file)).map((file) => file.split('-')[0]);
}

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
    const watch = "select set_config(name, '500', false) from pg_settings where name = 'client_connection_check_interval'";
    // A connection that cannot even do this fails in its first statement too, where somebody waits for it.
    connection.query(watch).catch(() => {});
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

/** An error for the log. knex puts the statement with its values, so passwords, before PostgreSQL's own message. */
function failure(error) {
  const ofPostgres = error.severity !== undefined && error.code !== undefined;
  const message = ofPostgres ? error.message.split(' - ').at(-1) : (error.message ?? String(error));
  const about = ofPostgres ? [error.detail, error.hint].filter(Boolean).map((part) => `: ${part}`) : [];
  return { type: 'error', message: message + about.join(''), code: error.code ?? null };
}

async function main() {
  for await (const line of createInterface({ input: channel })) {
    const { do: what } = JSON.parse(line);
    try {
      say(await answer[what]());
    } catch (error) {
      say(failure(error));
    }
  }
}

await main();
await database?.destroy();
process.exit(0);
