// Starts the server like upstream's `cli.js start`, but without the update check, which sends a request to a public
// registry before each start, with a timeout of eight seconds and no switch, and without the command line, which would
// load every extension once more.

import { load } from './directus.mjs';
import { protectDataModel } from './data-model.mjs';
import { showPresence } from './presence.mjs';

// Set by the boot if it has a database role of its own; the server's role then may not change the schema.
if (process.env.BOOT_DATA_MODEL === 'read-only') await protectDataModel();

await load('start.js');
// Set by the boot.
const { BOOT_SERVER } = process.env;
if (BOOT_SERVER) showPresence(JSON.parse(BOOT_SERVER));
