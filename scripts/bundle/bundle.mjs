// Bundles Directus' API, so that a start reads some hundred files instead of some thousand: importing it takes half as
// long. Runs in the image build, in the base image, with the esbuild that Directus brings; needs no network.
//
// Usage: node bundle.mjs FOLDER. The folder gets the files that the server's start and the bridge import, under the
// names that they have in @directus/api/dist, with shared chunks beside them: one bundle, so that what exists once in
// Directus (its database, its logger, its environment) exists once here too.
//
// The packages stay where they are: a bundled module believes that it lies where it came from (import.meta.url,
// __dirname), and finds from there what it reads, native modules included. Only Directus' migrations are imported by
// path from inside the bundle; they are bundled, too, and looked for beside it.

import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [out] = process.argv.slice(2).map((path) => resolve(path));
if (out === undefined) throw new Error('usage: node bundle.mjs FOLDER');

const dist = fileURLToPath(new URL('../', import.meta.resolve('@directus/api/cli/run.js')));
const requireAsApi = createRequire(join(dist, 'index.js'));
// Directus does not depend on esbuild by itself, but tsx does, and Directus on tsx.
const { build } = createRequire(requireAsApi.resolve('tsx'))('esbuild');

/** What is imported by path: by scripts/image, and Directus' migrations by Directus. */
const ENTRIES = [
  'start.js',
  'server.js',
  'cache.js',
  'database/index.js',
  'database/migrations/run.js',
  'database/seeds/run.js',
  'services/settings.js',
  'utils/apply-snapshot.js',
  'utils/create-admin.js',
  'utils/get-schema.js',
  'utils/get-snapshot.js',
  'utils/get-snapshot-diff.js',
  'utils/validate-snapshot.js',
];

/** What scripts/image takes of Directus' packages; the environment so that there is one. */
const PACKAGES = { env: '@directus/env', yaml: 'js-yaml' };

/** Imported as they are: native code, or programs that look for their own parts. */
const EXTERNAL = new Set([
  'argon2',
  'isolated-vm',
  'sharp',
  'snappy',
  // The drivers of the databases.
  'better-sqlite3',
  'mysql',
  'mysql2',
  'oracledb',
  'pg-native',
  'pg-query-stream',
  'sqlite3',
  'tedious',
  // Bundlers, for app extensions.
  '@rollup/plugin-alias',
  '@rollup/plugin-node-resolve',
  '@rollup/plugin-virtual',
  'esbuild',
  'rolldown',
  'rollup',
  'tsx',
  'vite',
  // Tells of AI requests elsewhere; not all of what they ask for is there, and they are imported when they are wanted.
  '@braintrust/otel',
  '@langfuse/otel',
  // Asked for its metrics, when it runs the server.
  'pm2',
]);

/**
 * Lines of Directus that no bundler can follow, or that import what a start does not need, and what stands there
 * instead; by file. Each must be found, once.
 */
const EDITS = {
  // Names its drivers in a table and imports what it finds there.
  'storage/get-storage-driver.js': {
    'return (await import(driverName)).default;': (source) => {
      const names = [...source.matchAll(/: "(@directus\/storage-driver-[a-z0-9]+)"/g)].map(([, name]) => name);
      const table = names.map((name) => `${JSON.stringify(name)}: () => import(${JSON.stringify(name)})`);
      return `return (await ({ ${table.join(', ')} })[driverName]()).default;`;
    },
  },
  // Imports an extension; to a bundler it looks as if it could be any file beside itself.
  'utils/import-file-url.js': {
    'return import(`./${pathToRelativeUrl(url, dirname(fileURLToPath(root)))}${options.fresh ? `?t=${Date.now()}` : ""}`);':
      () =>
        'const target = new URL(`./${pathToRelativeUrl(url, dirname(fileURLToPath(root)))}`, root);\n' +
        'if (options.fresh) target.search = `?t=${Date.now()}`;\n' +
        'return import(target.href);',
  },
  // Bundlers, a twentieth of a second each: wanted where there is an app extension.
  'extensions/manager.js': {
    'import aliasDefault from "@rollup/plugin-alias";': () => '',
    'import nodeResolveDefault from "@rollup/plugin-node-resolve";': () => '',
    'import virtualDefault from "@rollup/plugin-virtual";': () => '',
    'import { rolldown } from "rolldown";': () => '',
    'import { rollup } from "rollup";': () => '',
    'const virtual = virtualDefault;': () => '',
    'const alias = aliasDefault;': () => '',
    'const nodeResolve = nodeResolveDefault;': () => '',
    'const bundle = await (env$1["EXTENSIONS_ROLLDOWN"] ?? false ? rolldown : rollup)({': () =>
      `const { default: alias } = await import("@rollup/plugin-alias");
const { default: nodeResolve } = await import("@rollup/plugin-node-resolve");
const { default: virtual } = await import("@rollup/plugin-virtual");
const { rolldown } = await import("rolldown");
const { rollup } = await import("rollup");
const bundle = await (env$1["EXTENSIONS_ROLLDOWN"] ?? false ? rolldown : rollup)({`,
  },
  // A tenth of a second: wanted for metrics.
  'metrics/lib/create-metrics.js': {
    'import pm2 from "pm2";': () => 'const importPm2 = async () => (await import("pm2")).default;',
    'const listApps = promisify(pm2.list.bind(pm2));': () =>
      'const listApps = async () => { const pm2 = await importPm2(); return promisify(pm2.list.bind(pm2))(); };',
    'const sendDataToProcessId = promisify(pm2.sendDataToProcessId.bind(pm2));': () =>
      'const sendDataToProcessId = async (...data) => { const pm2 = await importPm2();' +
      ' return promisify(pm2.sendDataToProcessId.bind(pm2))(...data); };',
  },
};

const packageOf = (specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** Leaves EXTERNAL out, by the place where the importing module finds it. */
const external = {
  name: 'external',
  setup({ onResolve, resolve: find }) {
    onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, ...from }) => {
      if (pluginData === 'found' || !EXTERNAL.has(packageOf(path))) return undefined;
      const { kind, importer, resolveDir } = from;
      const found = await find(path, { kind, importer, resolveDir, pluginData: 'found' });
      // Another database's driver may not be there; it fails when it is wanted, as it would have.
      return found.errors.length > 0 ? { path, external: true } : { path: found.path, external: true };
    });
  },
};

/** Lets each module believe that it lies where it came from. */
const places = {
  name: 'places',
  setup({ onLoad, onEnd }) {
    const edited = new Set();
    onLoad({ filter: /\.[cm]?js$/ }, async ({ path }) => {
      let source = await readFile(path, 'utf8');
      const name = path.startsWith(dist) ? path.slice(dist.length) : undefined;
      if (Object.hasOwn(EDITS, name ?? '')) {
        const original = source;
        for (const [line, edit] of Object.entries(EDITS[name])) {
          if (source.split(line).length !== 2) throw new Error(`${name} has changed: it has no line ${line}`);
          source = source.replace(line, () => edit(original));
        }
        edited.add(name);
      }
      // Where the migrations are read from.
      const place = name === 'database/migrations/run.js' ? join(out, name) : path;
      if (/\bimport\.meta\b/.test(source)) {
        source = source.replace(/\bimport\.meta\.(url|dirname|filename)\b/g, (_, what) =>
          JSON.stringify({ url: pathToFileURL(place).href, dirname: join(place, '..'), filename: place }[what]),
        );
      } else if (/\b__(?:dirname|filename)\b/.test(source) && !/\b(?:const|let|var)\s+__dirname\b/.test(source)) {
        // After a "use strict", which must stay first, and on its line.
        const [, strict, rest] = /^((?:#!.*\n)?(?:\s*['"]use strict['"])?)([\s\S]*)$/.exec(source);
        const declared = `;var __dirname = ${JSON.stringify(join(path, '..'))}, __filename = ${JSON.stringify(path)};`;
        source = `${strict}${declared}${rest}`;
      }
      return { contents: source, loader: 'js' };
    });
    onEnd(() => {
      const unseen = Object.keys(EDITS).filter((name) => !edited.has(name));
      return { errors: unseen.map((name) => ({ text: `${name} is not part of the bundle any more` })) };
    });
  },
};

const migrations = await readdir(join(dist, 'database/migrations'));
const entries = [
  ...ENTRIES,
  ...migrations.filter((file) => /^[0-9]+[A-Z]-[^.]+\.js$/.test(file)).map((file) => `database/migrations/${file}`),
].map((file) => ({ in: join(dist, file), out: file.slice(0, -'.js'.length) }));
const packages = Object.entries(PACKAGES).map(([name, specifier]) => ({ in: specifier, out: `package/${name}` }));
const { metafile, warnings } = await build({
  entryPoints: [...entries, ...packages],
  // Packages are looked for from here.
  absWorkingDir: dist,
  outdir: out,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: `node${process.versions.node.split('.')[0]}`,
  // Directus looks at names of classes.
  keepNames: true,
  // A third less to read; the original is beside it.
  minifyWhitespace: true,
  minifySyntax: true,
  chunkNames: 'chunks/[name]-[hash]',
  // What is CommonJS asks for Node's own modules with it.
  banner: {
    js: `import { createRequire as createBundleRequire } from 'node:module';
const require = createBundleRequire(${JSON.stringify(pathToFileURL(join(dist, 'index.js')).href)});`,
  },
  plugins: [external, places],
  metafile: true,
  logLevel: 'error',
  logOverride: { 'unsupported-require-call': 'warning', 'indirect-require': 'warning' },
});
for (const { text, location } of warnings) console.warn(`${location?.file}:${location?.line}: ${text}`);
const files = Object.values(metafile.outputs);
const bytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
console.log(`${Object.keys(metafile.inputs).length} modules in ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB`);
