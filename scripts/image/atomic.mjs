// One transaction round whatever Directus does on its global database: all of it is there afterwards, or nothing.
//
// Directus runs its seeds and migrations statement by statement, here and there in a transaction, and its services take
// the global database by themselves. So it is not handed a transaction; its knex client is told to be in one. knex then
// spells the transactions that are begun within SAVEPOINT and RELEASE, as it does in a transaction of its own making.

/** What a transaction cannot run, and need not on a connection that nobody else waits for. */
const CONCURRENTLY = /^(\s*(?:create\s+(?:unique\s+)?|drop\s+)index)\s+concurrently\b/i;
/** Statements that leave nothing behind. */
const READS = /^\s*(?:select|show|with|explain)\b/i;

/**
 * Runs `work` in one transaction of this knex' and returns what it returns. Every connection that is asked for meanwhile
 * is that transaction's: with a real pool, what asks for a second one inside a nested transaction would see the
 * database as it was, or with a pool of one wait for ever.
 */
export async function atomically({ client }, work) {
  const connection = await client.acquireConnection();
  const tell = (statement) => connection.query(statement);
  try {
    // Between two statements modules are imported, and a server may be impatient with transactions that idle.
    await tell('begin isolation level read committed; set local idle_in_transaction_session_timeout = 0');
    Object.assign(client, {
      transacting: true,
      acquireConnection: async () => connection,
      releaseConnection: async () => {},
      _query: guarded(client, tell),
    });
    const result = await work();
    // Of an aborted transaction PostgreSQL makes a ROLLBACK, and no error.
    const { command } = await tell('commit');
    if (command !== 'COMMIT') throw new Error('PostgreSQL rolled the transaction back');
    return result;
  } catch (error) {
    // Nothing to roll back on a connection that is lost, and its loss is the error that counts.
    await tell('rollback').catch(() => {});
    throw error;
  } finally {
    for (const own of ['transacting', 'acquireConnection', 'releaseConnection', '_query']) delete client[own];
    await client.releaseConnection(connection);
  }
}

/**
 * knex' way to the server, for statements outside of nested transactions. Some of Directus' migrations try a statement
 * and go on when it fails; in a transaction that needs a savepoint, else nothing can follow. One at a time, because
 * savepoints nest.
 */
function guarded(client, tell) {
  const query = client._query.bind(client);
  let last = Promise.resolve();
  return (connection, statement) => {
    statement.sql = statement.sql.replace(CONCURRENTLY, '$1');
    if (READS.test(statement.sql)) return query(connection, statement);
    const run = async () => {
      await tell('savepoint statement');
      try {
        const result = await query(connection, statement);
        await tell('release savepoint statement');
        return result;
      } catch (error) {
        // What it failed with says more than a connection that is lost.
        await tell('rollback to savepoint statement; release savepoint statement').catch(() => {});
        throw error;
      }
    };
    last = last.then(run, run);
    return last;
  };
}
