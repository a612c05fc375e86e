// Starts the server like upstream's `cli.js start`, but without the update check, which sends a request to a public
// registry before each start, with a timeout of eight seconds and no switch, and without the command line, which would
// load every extension once more.

import { load } from './directus.mjs';
import { showPresence } from './presence.mjs';

await load('start.js');
// Set by the boot.
const { BOOT_SERVER } = process.env;
if (BOOT_SERVER) showPresence(JSON.parse(BOOT_SERVER));
