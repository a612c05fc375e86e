// Starts the server as upstream's `cli.js start` does, but without the update check, which asks a public registry
// before anything else, at every start, with a timeout of eight seconds and no switch; and without the command line, for which
// every extension would be loaded a first time.

import { load } from './directus.mjs';

await load('start.js');
