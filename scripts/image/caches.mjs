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
 * Removes Redis and the schema cache from this process' variables; call it before any other module of Directus is
 * loaded. Returns true if there was a Redis.
 *
 * Directus flushes its caches at the end of migrations and of a schema apply, so before the commit: a running server
 * would cache the old schema again. With Redis unreachable each flush waits for ten seconds, and its
 * rejected promises, which Directus does not await, end the process.
 */
export async function withoutSharedCaches() {
  const variables = await env();
  const names = Object.keys(variables).filter(isRedis);
  for (const name of names) delete variables[name];
  for (const [name, value] of Object.entries(variables)) {
    if (name.endsWith('_STORE') && value === 'redis') variables[name] = 'memory';
  }
  // A cache that was filled outside of the transaction would be out of date inside.
  variables.CACHE_SCHEMA = false;
  return names.length > 0;
}

/**
 * Flushes the shared caches in a process with the variables of Redis. Returns warnings and never fails, since the data
 * is committed already.
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
