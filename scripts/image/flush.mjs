// Flushes Directus' caches in Redis and notifies the other servers, as Directus does after a schema apply; exit status
// 0 if Redis answered. A process of its own, because Directus ends the whole process if Redis is unreachable.

import { load } from './directus.mjs';

const { flushCaches } = await load('cache.js');
const { useBus } = await load('bus/lib/use-bus.js');
await flushCaches(true);
// flushCaches() does not wait for its own message, and the cache turns errors into log lines: this one is awaited, and
// rejected if there is no Redis.
await useBus().publish('schemaChanged', {});
process.exit(0);
