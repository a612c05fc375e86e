// Starts the server as upstream's cli.js does, but without its update check: that asks a public registry before anything
// else, at every start, with a timeout of eight seconds and no switch.

import '@directus/api/cli/run.js';
