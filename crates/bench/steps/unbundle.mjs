// Puts in the place of a bundle's entry points files that hand on to Directus' own modules.
//
// Usage: node unbundle.mjs FOLDER, which scripts/bundle/bundle.mjs filled.

import { rm, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = resolve(process.argv[2]);
const requireAsDirectus = createRequire('/directus/cli.js');
const api = pathToFileURL(requireAsDirectus.resolve('@directus/api/cli/run.js'));
const dist = new URL('../', api);
const requireAsApi = createRequire(api);
/** As bundle.mjs has them. */
const PACKAGES = { 'package/env.js': '@directus/env', 'package/yaml.js': 'js-yaml' };

for (const file of await readdir(folder, { recursive: true })) {
  // Migrations are looked for beside database/migrations/run.js, which is upstream's own now.
  if (!file.endsWith('.js') || file.startsWith('chunks/') || /migrations\/[0-9]/.test(file)) continue;
  const target = PACKAGES[file] ? pathToFileURL(requireAsApi.resolve(PACKAGES[file])) : new URL(file, dist);
  // Not every module has a default; one that has none must not get one.
  const { default: own } = file === 'start.js' ? {} : await import(target);
  const handOn = own === undefined ? '' : `export { default } from ${JSON.stringify(target.href)};\n`;
  await writeFile(join(folder, file), `export * from ${JSON.stringify(target.href)};\n${handOn}`);
}
await rm(join(folder, 'chunks'), { recursive: true });
await rm(join(folder, 'compile-cache'), { recursive: true });
console.log(`handed on to ${fileURLToPath(dist)}`);
process.exit(0);
