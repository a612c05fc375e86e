// Prints as JSON, after a line `inventory`, what an image contains: Node, the npm packages in its node_modules folders, and the
// distribution's packages, from the database of dpkg or apk. Then also the folders of the npm packages from which
// importing Directus' server loads a module. Runs in a container of the image.

import { readFile, readdir } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

const NODE_MODULES = ['/directus/node_modules', '/usr/local/lib/node_modules'];
const [, , start] = process.argv;

const read = (path) => readFile(path, 'utf8').catch(() => '');

/** Yields every folder of a package, links not followed: pnpm's store has each once. */
async function* packages(modules) {
  for (const entry of await readdir(modules, { withFileTypes: true }).catch(() => [])) {
    const path = `${modules}/${entry.name}`;
    if (!entry.isDirectory()) continue;
    if (entry.name.startsWith('@')) {
      yield* packages(path);
    } else if (entry.name === '.pnpm') {
      for (const stored of await readdir(path)) yield* packages(`${path}/${stored}/node_modules`);
    } else {
      yield path;
      yield* packages(`${path}/node_modules`);
    }
  }
}

async function npm() {
  const found = [];
  for (const modules of NODE_MODULES) {
    for await (const path of packages(modules)) {
      const { name, version, license } = JSON.parse((await read(`${path}/package.json`)) || '{}');
      // A folder without a name and a version is a part of a package.
      if (name && version) found.push({ name, version, license: license?.type ?? license, path });
    }
  }
  return found;
}

/** Reads the paragraphs of a package database; `separator` ends a field's name. */
function paragraphs(text, separator, names) {
  return text.split('\n\n').flatMap((paragraph) => {
    const fields = Object.fromEntries(
      paragraph.split('\n').map((line) => [line.split(separator, 1)[0], line.slice(line.indexOf(separator) + 1).trim()]),
    );
    const [name, version, architecture, license] = names.map((field) => fields[field]);
    return name && version ? [{ name, version, architecture, license }] : [];
  });
}

async function distribution() {
  const release = await read('/etc/os-release');
  const id = (key) => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(release)?.[1] ?? 'unknown';
  const dpkg = await read('/var/lib/dpkg/status');
  const apk = await read('/lib/apk/db/installed');
  const found = dpkg
    ? paragraphs(dpkg, ':', ['Package', 'Version', 'Architecture', 'License'])
    : paragraphs(apk, ':', ['P', 'V', 'A', 'L']);
  return { format: dpkg ? 'deb' : 'apk', id: id('ID'), version: id('VERSION_ID'), packages: found };
}

/** Returns the folder of the package that a module belongs to: the last one below a node_modules. */
const packageOf = (path) => /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];

/** Imports the server, and returns the folders of the packages of all modules that it loads. */
async function opened() {
  const found = new Set();
  registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:')) found.add(packageOf(fileURLToPath(url)));
      return next(url, context);
    },
  });
  const { load } = await import(start);
  await load('server.js');
  for (const library of process.report.getReport().sharedObjects) found.add(packageOf(library));
  found.delete(undefined);
  return [...found].sort();
}

const inventory = { node: process.versions.node, npm: await npm(), distribution: await distribution() };
// On several lines, because an engine splits long ones. The server's timers would keep the process alive.
const text = JSON.stringify({ ...inventory, opened: await opened() }, null, 1);
process.stdout.write(`\ninventory\n${text}\n`, () => process.exit(0));
