// One explicit transaction around everything that Directus does on its global database: begin, query, commit, rollback.
//
// Directus runs its seeds and migrations statement by statement, only some of them in a transaction, and its services
// use the global database on their own. So Directus is not passed a transaction; its knex client is put into one. knex
// then writes the transactions that begin inside as SAVEPOINT and RELEASE, as it does within its own transactions.

/** Not allowed in a transaction, and not needed on a connection that no other session waits for. */
const CONCURRENTLY = /^(\s*(?:create\s+(?:unique\s+)?|drop\s+)index)\s+concurrently\b/i;
/** Statements that change nothing. */
const READS = /^\s*(?:select|show|with|explain)\b/i;
/** The properties of the knex client that a transaction replaces. */
const REPLACED = ['transacting', 'acquireConnection', 'releaseConnection', '_query'];
/** A lock was not available within lock_timeout, or PostgreSQL ended a deadlock at the cost of this transaction. */
const LOCK_FAILURES = new Set(['55P03', '40P01']);
/** Leaves every value as PostgreSQL's text. */
const AS_TEXT = { getTypeParser: () => (value) => value };

export class Transaction {
  #client;
  #connection;
  #lockFailure;

  /**
   * Begins a transaction on one connection of this knex. Until it ends, every connection that Directus acquires is this
   * one: with a real pool, a second connection acquired inside a nested transaction would see the database as it was
   * before, or would never come from a pool of one.
   */
  static async begin({ client }) {
    const transaction = new Transaction();
    transaction.#client = client;
    transaction.#connection = await client.acquireConnection();
    try {
      // Modules are imported between statements, and the server may have a short timeout for idle transactions.
      await transaction.#run('begin isolation level read committed; set local idle_in_transaction_session_timeout = 0');
    } catch (error) {
      await transaction.#end();
      throw error;
    }
    transaction.#occupy();
    return transaction;
  }

  /** Runs SQL of one or several statements; returns the last result's rows, each value as text or null. */
  async query(text) {
    const result = await this.#run({ text, rowMode: 'array', types: AS_TEXT });
    return (Array.isArray(result) ? result.at(-1) : result).rows;
  }

  /**
   * Throws the first failure to get a lock. Some of Directus' code goes on after any error of a statement, and a
   * migration that was left out that way would count as done.
   */
  checkLocks() {
    if (this.#lockFailure) throw this.#lockFailure;
  }

  /** Commits; the transaction is over afterwards, whether or not this succeeds. */
  async commit() {
    try {
      // PostgreSQL answers COMMIT in an aborted transaction with ROLLBACK, and not with an error.
      const { command } = await this.#run('commit');
      if (command !== 'COMMIT') {
        throw new Error('PostgreSQL rolled the transaction back, because a statement in it had failed');
      }
    } finally {
      await this.#end();
    }
  }

  /** Rolls back; the transaction is over afterwards, whether or not this succeeds. */
  async rollback() {
    try {
      await this.#run('rollback');
    } finally {
      await this.#end();
    }
  }

  #run(statement) {
    return this.#connection.query(statement);
  }

  #occupy() {
    const query = this.#client._query.bind(this.#client);
    Object.assign(this.#client, {
      transacting: true,
      acquireConnection: async () => this.#connection,
      releaseConnection: async () => {},
      _query: this.#guarded(query),
    });
  }

  async #end() {
    for (const property of REPLACED) delete this.#client[property];
    await this.#client.releaseConnection(this.#connection);
  }

  /**
   * Wraps knex' query function for statements outside of nested transactions. Some of Directus' migrations try a
   * statement and go on after it failed; within a transaction that takes a savepoint, otherwise nothing can follow. One
   * statement at a time, because savepoints nest.
   */
  #guarded(query) {
    let last = Promise.resolve();
    return (connection, statement) => {
      statement.sql = statement.sql.replace(CONCURRENTLY, '$1');
      if (READS.test(statement.sql)) return query(connection, statement);
      const run = () => this.#inSavepoint(() => query(connection, statement));
      last = last.then(run, run);
      return last;
    };
  }

  async #inSavepoint(work) {
    await this.#run('savepoint statement');
    try {
      const result = await work();
      await this.#run('release savepoint statement');
      return result;
    } catch (error) {
      if (LOCK_FAILURES.has(error.code)) this.#lockFailure ??= error;
      // The statement's own error explains more than the error of a connection that was lost meanwhile.
      await this.#run('rollback to savepoint statement; release savepoint statement').catch(() => {});
      throw error;
    }
  }
}
