// The server's own connection to PostgreSQL, on which it shows the boots of other images that it runs, and learns that one
// of them has changed the schema.
//
// The first is a shared advisory lock. While a boot sees such a lock of another image, removals and narrowing changes wait
// (entrypoint/src/database/servers.rs). The lock ends with this process, however it ends.
//
// The second is a notification. Directus caches the schema in memory, and would read columns that are gone. Its own
// message goes through Redis, which a single server lacks, and only after changes by Directus, not by SQL.

import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

import { load } from './directus.mjs';

/** The first half of the lock's key; `SERVER_LOCK` in crates/contract. */
const LOCK = 0x74726d73;
/** `CHANNEL` in crates/contract. */
const CHANNEL = 'trm_schema';
/** The longest time between two tries to connect, in milliseconds. */
const LONGEST_PAUSE = 30_000;

/**
 * Holds the lock until the process ends; connects again whenever the connection is lost. `server` has the second half of the
 * key (`id`), the `application_name` (`name`), and the address of PostgreSQL itself (`host`, `port`).
 */
export async function showPresence(server) {
  const { useLogger } = await load('logger/index.js');
  let wait = 1000;
  for (let isFirst = true; ; ) {
    try {
      const lost = once(await hold(server), 'end');
      // A boot may have notified in the meantime.
      if (!isFirst) await forgetSchema();
      isFirst = false;
      wait = 1000;
      await lost;
    } catch (error) {
      if (error instanceof Pooled) return useLogger().warn(error.message);
      useLogger().warn(`Boots of other images cannot see this server: ${error.message}`);
      wait = Math.min(2 * wait, LONGEST_PAUSE);
    }
    await pause(wait, undefined, { ref: false });
  }
}

class Pooled extends Error {}

/** Clears Directus' caches, and those of other servers by its bus. */
async function forgetSchema() {
  const { flushCaches } = await load('cache.js');
  await flushCaches(true).catch(async (error) => {
    (await load('logger/index.js')).useLogger().warn(`The caches were not cleared after a boot: ${error.message}`);
  });
}

/** Returns a connection that holds the lock. */
async function hold(server) {
  const client = await connect(server);
  try {
    await requireDirect(client, server);
    await client.query('select pg_advisory_lock_shared($1, $2)', [LOCK, server.id | 0]);
    client.on('notification', forgetSchema);
    await client.query(`listen ${CHANNEL}`);
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
  return client;
}

async function connect({ name, host, port }) {
  const { default: getDatabase } = await load('database/index.js');
  const { driver, connectionSettings: settings } = getDatabase().client;
  // knex hides the password from a copy.
  const { password } = settings;
  const client = new driver.Client({ ...settings, password, host, port, application_name: name, keepAlive: true });
  // Without a listener, the loss of the connection would end the process; `end` follows.
  client.on('error', () => {});
  await client.connect();
  client.unref();
  return client;
}

/** Behind a pooler in transaction mode, the lock would stay on a connection of the pooler after the end of this server. */
async function requireDirect(client, server) {
  const pid = async (of) => (await of.query('select pg_backend_pid() as pid')).rows[0].pid;
  const other = await connect(server);
  try {
    const before = await pid(client);
    await other.query('begin');
    if ((await pid(other)) === before || (await pid(client)) !== before) {
      throw new Pooled(
        `Boots of other images cannot see this server, because ${server.host}:${server.port} is a pooler: set BOOT_DB_HOST and BOOT_DB_PORT`,
      );
    }
  } finally {
    await other.end().catch(() => {});
  }
}
