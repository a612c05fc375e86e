// Starts the server like upstream's `cli.js start`, but without the update check, which sends a request to a public
// registry before each start, with a timeout of eight seconds and no switch, and without the command line, which would
// load every extension once more.

import { env } from 'node:process';

import { load } from './directus.mjs';
import { protectDataModel } from './data-model.mjs';
import { showPresence } from './presence.mjs';

// Set by the boot if it has a database role of its own; the server's role then may not change the schema.
if (env.BOOT_DATA_MODEL === 'read-only') await protectDataModel();

// Directus' pressure limiter compares this limit with the utilization since the process began (@directus/pressure calls
// performance.eventLoopUtilization() without a base), so it finds no busy server, but a new one: after loading its modules
// a server answers 503 to every request until it was idle for a hundredth of that time. The limiter's other measure, the
// delay of the event loop, is of the last moments and stays.
const limit = 'PRESSURE_LIMITER_MAX_EVENT_LOOP_UTILIZATION';
if (!(limit in env || `${limit}_FILE` in env)) env[limit] = 'false';

// Directus subscribes to its bus while its modules are imported. Then ioredis may write the second SUBSCRIBE before its own
// check of the connection, which Redis refuses on a connection that subscribes; ioredis connects again and loses both, and
// this server never hears that the schema has changed. On a connection that subscribes already there is no such check.
const { useBus } = await load('bus/lib/use-bus.js');
await useBus()
  .subscribe('ready', () => {})
  .catch((error) => console.error(`Directus' bus is not connected: ${error.message}`));

await load('start.js');
// Set by the boot.
if (env.BOOT_SERVER) showPresence(JSON.parse(env.BOOT_SERVER));
