// The bridge between the boot binary and Directus: one Node process that runs Directus' own code on request.
//
// Usage: node bridge.mjs SNAPSHOT [read-only]. Standard input is a socket: JSON lines in (requests), JSON lines out
// (replies); the messages are described in entrypoint/src/directus/protocol.rs. Standard output and error are Directus'
// own log. When the other end closes, because the work is done or the boot has died, this process exits, and PostgreSQL
// rolls an open transaction back.
//
// Directus has no public API for any of this, so its modules are imported by path. That holds for the pinned version;
// the boot binary checks the result in the database itself.

import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

import { apply } from './apply.mjs';
import { bootstrap } from './bootstrap.mjs';
import { flushSharedCaches, withoutSharedCaches } from './caches.mjs';
import { channel } from './channel.mjs';
import { waitForFreeConnections } from './connecting.mjs';
import { load } from './directus.mjs';
import { failure } from './failure.mjs';
import { plan } from './plan.mjs';
import { checked, contents, parse } from './snapshot.mjs';
import { Transaction } from './transaction.mjs';

const [snapshotPath, mode] = process.argv.slice(2);

const reply = (message) => channel.write(`${JSON.stringify(message)}\n`);

// Directus starts work without awaiting it. If that failed, Node would end this process in the middle of a transaction.
process.on('unhandledRejection', (error) => console.error(`Directus, in the background: ${failure(error).message}`));

const hasSharedCaches = await withoutSharedCaches();

let database;
/** The open transaction. */
let transaction;
/** True once something in the open transaction makes cached schemas wrong. */
let isStale = false;
/** The last plan, which `apply` applies. */
let planned;

const handlers = {
  async 'read-snapshot'() {
    const snapshot = await readSnapshot();
    // The long import continues while the boot runs its SQL; its error, if any, is reported when the module is needed.
    load('services/collections.js').catch(() => {});
    return contents(snapshot);
  },

  async begin() {
    if (transaction) throw new Error('a transaction is open already');
    transaction = await Transaction.begin(await getDatabase());
    isStale = false;
  },

  async query({ sql }) {
    return open().query(sql);
  },

  async bootstrap({ admin }) {
    open();
    const done = await bootstrap(await getDatabase(), admin);
    open().checkLocks();
    isStale ||= done.migrated > 0;
    return done;
  },

  async plan() {
    planned = await plan(await getDatabase(), await readSnapshot());
    return planned.reply;
  },

  async apply() {
    open();
    if (planned === undefined) throw new Error('there is no plan to apply');
    const { changes } = planned;
    planned = undefined;
    isStale = true;
    await apply(await getDatabase(), changes);
    open().checkLocks();
  },

  async commit() {
    await ended((open) => open.commit());
    return isStale && hasSharedCaches ? flushSharedCaches() : [];
  },

  async rollback() {
    if (transaction) await ended((open) => open.rollback());
  },
};

function open() {
  if (!transaction) throw new Error('no transaction is open');
  return transaction;
}

/** Commits or rolls back the open transaction, which is over even if that fails. */
async function ended(end) {
  const ending = open();
  transaction = undefined;
  planned = undefined;
  await end(ending);
}

let snapshot;

/** Returns the snapshot, which is read once. */
async function readSnapshot() {
  if (snapshot) return snapshot;
  const { default: yaml } = await load('package/yaml.js');
  const text = await readFile(snapshotPath, 'utf8').catch((error) => {
    throw new Error(`cannot be read: ${error.message}`);
  });
  snapshot = checked(parse(text, yaml), text);
  return snapshot;
}

/**
 * Returns Directus' own pool. Its sessions have the same settings as the boot's (entrypoint/src/database/settings.rs):
 * among them the interval at which PostgreSQL checks the connection to this process while a statement runs. Without it,
 * PostgreSQL would finish the statement of a dead process, and commit it during the next boot.
 */
async function getDatabase() {
  if (database) return database;
  const { default: getDirectusDatabase } = await load('database/index.js');
  database = getDirectusDatabase();
  waitForFreeConnections(database.client);
  database.client.pool.on('createSuccess', (_, connection) => {
    // A report changes nothing, not even through Directus.
    const only = mode === 'read-only' ? 'set default_transaction_read_only = on; ' : '';
    // If this fails, so does the first statement on the connection, which reports the error to a request.
    connection.query(only + process.env.BOOT_SESSION_SQL).catch(() => {});
  });
  return database;
}

for await (const line of createInterface({ input: channel })) {
  const { do: request, ...about } = JSON.parse(line);
  try {
    reply({ ok: (await handlers[request](about)) ?? null });
  } catch (error) {
    reply({ error: failure(error) });
  }
}
await handlers.rollback().catch(() => {});
await database?.destroy();
process.exit(0);
