// Prints a snapshot of another version or from another database as this Directus would save it.
//
// Usage: node convert.mjs PATH; PATH `-` is the standard input. The snapshot goes to standard output, the list of
// changes to standard error. Needs no database. Exit status 1, with one line, if the file cannot be converted.

import { readFileSync } from 'node:fs';

import { converted } from './conversion.mjs';
import { load } from './directus.mjs';
import { parse } from './snapshot.mjs';

const [path = '-'] = process.argv.slice(2);
const name = path === '-' ? 'the snapshot' : path;

try {
  const { default: yaml } = await load('package/yaml.js');
  const { version } = await load('package/version.js');
  const text = readText();
  const { snapshot, changes } = converted(parse(text, yaml), version, text);
  process.stdout.write(yaml.dump(snapshot, { noRefs: true }));
  for (const change of changes) console.error(change);
} catch (error) {
  console.error(`${name} ${error.message}`);
  process.exitCode = 1;
}

function readText() {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw new Error(`cannot be read: ${error.message}`);
  }
}
