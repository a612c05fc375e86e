// Removes the packages and files in prune.tsv from a root file system. Runs in the image build, as root, in a copy of
// the base image. Folders keep their times, so that each build gives the same layer.
//
// Usage: node prune.mjs LIST ROOT [check]. With `check` it removes nothing, and prints what the rows that match nothing
// look for, one a line.

import { lstat, readFile, readdir, readlink, realpath, rm, utimes } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';

const [list, root] = process.argv.slice(2, 4).map((path) => resolve(path));
const isCheck = process.argv[4] === 'check';
const store = join(root, 'directus/node_modules/.pnpm');
/** Folders below the root that are not part of the image. */
const OUTSIDE = new Set(['proc', 'sys', 'dev', 'run', 'tmp']);
/** Paths that a check only counts as removed. */
const gone = new Set();

const rows = (await readFile(list, 'utf8'))
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [word, what, why] = line.split('\t');
    const [, kind, mark] = /^(package|files)(\?)?$/.exec(word) ?? [];
    if (kind === undefined || !what || !why) throw new Error(`${list}: not a row: ${line}`);
    return { kind, optional: mark !== undefined, what, found: 0, bytes: 0 };
  });

/** Yields each entry below a folder, parents first; links are not followed. */
async function* walk(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if ((folder === root && OUTSIDE.has(entry.name)) || gone.has(path)) continue;
    yield { path, entry };
    if (entry.isDirectory()) yield* walk(path);
  }
}

async function size(path) {
  const stat = await lstat(path);
  if (!stat.isDirectory()) return stat.size;
  let bytes = 0;
  for await (const { path: below, entry } of walk(path)) if (entry.isFile()) bytes += (await lstat(below)).size;
  return bytes;
}

async function remove(path, row) {
  row.found += 1;
  if (isCheck) {
    gone.add(path);
    return;
  }
  row.bytes += await size(path);
  await removeEntry(path);
}

/** Removes a path; its folder keeps its time. */
async function removeEntry(path) {
  const folder = dirname(path);
  const { atime, mtime } = await lstat(folder);
  await rm(path, { recursive: true });
  await utimes(folder, atime, mtime);
}

/** Returns the name of the folder in pnpm's store that a link leads to, or undefined if it leads elsewhere. */
async function target(link) {
  const real = await realpath(link).catch(() => undefined);
  return real?.startsWith(store + sep) ? real.slice(store.length + 1).split(sep)[0] : undefined;
}

/** Yields the links to packages in a node_modules folder, with the packages' names. */
async function* links(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.name.startsWith('@') && entry.isDirectory()) {
      for await (const [name, path] of links(join(folder, entry.name))) yield [`${entry.name}/${name}`, path];
    } else if (entry.isSymbolicLink()) yield [entry.name, join(folder, entry.name)];
  }
}

/** Returns the packages that can be reached from a node_modules folder without passing through `without`. */
async function reached(folder, without, seen = new Set()) {
  for await (const [name, path] of links(folder)) {
    const id = await target(path);
    if (id === undefined || seen.has(id) || without.has(name)) continue;
    seen.add(id);
    await reached(join(store, id, 'node_modules'), without, seen);
  }
  return seen;
}

/** Removes packages, and those that only they depend on. Each row counts what it frees after earlier rows. */
async function removePackages() {
  const without = new Set();
  const top = dirname(store);
  let before = await reached(top, without);
  for (const row of rows.filter(({ kind }) => kind === 'package')) {
    without.add(row.what);
    const after = await reached(top, without);
    for (const id of before) if (!after.has(id)) await remove(join(store, id), row);
    before = after;
  }
}

async function removeFiles() {
  const globs = rows.filter(({ kind }) => kind === 'files').map((row) => ({ row, matches: matcher(row.what) }));
  const found = [];
  for await (const { path } of walk(root)) {
    const hit = globs.find(({ matches }) => matches(relative(root, path)));
    if (hit) found.push([path, hit.row]);
  }
  let last;
  for (const [path, row] of found) {
    // Inside a folder that was removed already.
    if (last !== undefined && path.startsWith(last + sep)) continue;
    await remove(path, row);
    last = path;
  }
}

/** Returns a predicate for a glob with `**`, `*` and `{a,b}`. */
function matcher(glob) {
  const source = glob
    .replace(/[.+^$()|[\]\\]/g, '\\$&')
    .replace(/\{([^}]*)\}/g, (_, words) => `(?:${words.split(',').join('|')})`)
    .replace(/\*\*\/|\*/g, (star) => (star === '*' ? '[^/]*' : '(?:.*/)?'));
  const expression = new RegExp(`^${source}$`);
  return (path) => expression.test(path);
}

/** Removes links to removed packages and programs. */
async function removeDangling() {
  for (const folder of [dirname(store), join(root, 'usr/local/bin')]) {
    for await (const { path, entry } of walk(folder)) {
      if (!entry.isSymbolicLink()) continue;
      const to = await readlink(path);
      // The links in the copy are those of the image: an absolute one begins at its root.
      const target = isAbsolute(to) ? join(root, to) : join(dirname(path), to);
      if (await realpath(target).then(() => false, () => true)) await removeEntry(path);
    }
  }
}

await removePackages();
await removeFiles();
const unmatched = rows.filter(({ found, optional }) => found === 0 && !optional);
if (isCheck) {
  for (const { what } of unmatched) console.log(what);
  process.exit(0);
}
await removeDangling();
for (const { what, found, bytes } of rows) {
  console.log(`${(bytes / 1e6).toFixed(1).padStart(7)} MB ${String(found).padStart(6)} × ${what}`);
}
if (unmatched.length > 0) throw new Error(`${list}: nothing matches ${unmatched.map(({ what }) => what).join(', ')}`);
