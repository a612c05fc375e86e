// Directus' caches around a transaction: none inside it, and the shared ones flushed after it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { env } from './directus.mjs';

/** Time limit of a flush, in milliseconds. */
const LIMIT = 5000;

/** The variables with the address of Redis. */
const isRedis = (name) => name === 'REDIS' || name.startsWith('REDIS_');

/**
 * Takes Redis and the schema cache away from this process; call it before any other module of Directus is loaded.
 * Returns true if there was a Redis.
 *
 * Directus flushes its caches at the end of migrations and of a schema apply, so before the commit: a server next to
 * this process would cache the old schema once more. With Redis unreachable each flush waits for ten seconds, and its
 * rejected promises, which Directus does not await, end the process.
 */
export async function withoutSharedCaches() {
  const variables = await env();
  const names = Object.keys(variables).filter(isRedis);
  for (const name of names) delete variables[name];
  for (const [name, value] of Object.entries(variables)) {
    if (name.endsWith('_STORE') && value === 'redis') variables[name] = 'memory';
  }
  // Filled outside of transactions, it would be out of date inside.
  variables.CACHE_SCHEMA = false;
  return names.length > 0;
}

/**
 * Flushes the shared caches in a process that still knows Redis. Returns warnings: data is committed, so nothing here
 * is an error.
 */
export async function flushSharedCaches() {
  const child = spawn(process.execPath, [fileURLToPath(new URL('flush.mjs', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part) => (text = (text + part).slice(-2000)));
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const [code] = await once(child, 'close').catch((error) => [error.message]);
  clearTimeout(timer);
  if (code === 0) return [];
  const cause =
    code === null ? `no answer within ${LIMIT / 1000} s` : text.trim().split('\n').at(-1) || `exit status ${code}`;
  return [
    `the caches in Redis were not flushed (${cause}); running servers may use the old schema until they are restarted or ` +
      'their cache is cleared (POST /utils/cache/clear)',
  ];
}
