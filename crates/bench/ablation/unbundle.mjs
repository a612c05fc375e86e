// Replaces the entry points of a bundle by files that re-export Directus' own modules.
//
// Usage: node unbundle.mjs FOLDER, the output of scripts/bundle/bundle.mjs.

import { rm, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = resolve(process.argv[2]);
const requireAsDirectus = createRequire('/directus/cli.js');
const api = pathToFileURL(requireAsDirectus.resolve('@directus/api/cli/run.js'));
const dist = new URL('../', api);
const requireAsApi = createRequire(api);
/** The same table as in bundle.mjs. */
const PACKAGES = { 'package/env.js': '@directus/env', 'package/yaml.js': 'js-yaml' };

for (const file of await readdir(folder, { recursive: true })) {
  // database/migrations/run.js, now upstream's own, loads the migrations from its own folder.
  if (!file.endsWith('.js') || file.startsWith('chunks/') || /migrations\/[0-9]/.test(file)) continue;
  const target = PACKAGES[file] ? pathToFileURL(requireAsApi.resolve(PACKAGES[file])) : new URL(file, dist);
  // Re-exporting a missing default is an error. The import of start.js would start the server; it has none.
  const { default: own } = file === 'start.js' ? {} : await import(target);
  const reexport = own === undefined ? '' : `export { default } from ${JSON.stringify(target.href)};\n`;
  await writeFile(join(folder, file), `export * from ${JSON.stringify(target.href)};\n${reexport}`);
}
await rm(join(folder, 'chunks'), { recursive: true });
await rm(join(folder, 'compile-cache'), { recursive: true });
console.log(`replaced the bundle by ${fileURLToPath(dist)}`);
process.exit(0);
