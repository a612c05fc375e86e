// Directus' connections on a server that has none left (SQLSTATE 53300): when many boots start at once, each holds one
// for a moment, and the boot that has the lock must not fail because of them.

/** PostgreSQL has no connection left for anyone, for the role, or for the database. */
const TOO_MANY_CONNECTIONS = '53300';
/** Milliseconds; less than knex waits for a connection (acquireConnectionTimeout). */
const PATIENCE = 30_000;
const LONGEST_PAUSE = 1_000;

/** Makes a knex client wait for a free connection instead of failing. */
export function waitForFreeConnections(client) {
  const connect = client.acquireRawConnection.bind(client);
  client.acquireRawConnection = () => retried(connect, PATIENCE);
}

/** Calls `connect` until it succeeds, fails for another reason, or `patience` milliseconds have passed. */
export async function retried(connect, patience) {
  const end = Date.now() + patience;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (error?.code !== TOO_MANY_CONNECTIONS || Date.now() >= end) throw error;
    }
    const pause = LONGEST_PAUSE * (0.1 + 0.9 * Math.random());
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, Math.max(0, end - Date.now()))));
  }
}
