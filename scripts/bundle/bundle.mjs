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

/**
 * The modules that scripts/image imports by path. Directus' migrations, which Directus imports by path, are added
 * below.
 */
const ENTRIES = [
  'start.js',
  'server.js',
  'bus/lib/use-bus.js',
  'cache.js',
  'database/helpers/index.js',
  'database/index.js',
  'database/migrations/run.js',
  'database/seeds/run.js',
  'services/collections.js',
  'services/fields.js',
  'services/items.js',
  'services/payload.js',
  'services/relations.js',
  'services/settings.js',
  'utils/create-admin.js',
  'utils/get-default-value.js',
  'utils/get-field-system-rows.js',
  'utils/get-local-type.js',
  'utils/get-schema.js',
];

/** Directus' packages that scripts/image imports; the environment among them, so that both sides have the same one. */
const PACKAGES = {
  env: '@directus/env',
  'system-data': '@directus/system-data',
  version: 'directus/version',
  yaml: 'js-yaml',
};

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
  // Bundlers.
  'esbuild',
  'tsx',
  'vite',
  // Tells of AI requests elsewhere; not all of what they ask for is there, and they are imported when they are wanted.
  '@braintrust/otel',
  '@langfuse/otel',
]);

/** A module with a function that imports the package when it is called; its callers take a promise. */
const laterFunction = (name) => (specifier) =>
  `const later = async (options) => (await import(${JSON.stringify(specifier)})).${name}(options);
  export { later as ${name} };`;

/** A module with an object whose functions import the package when they are called; they answer by a callback. */
const laterCallbacks = (specifier) =>
  `const later = (name) => (...args) =>
    void import(${JSON.stringify(specifier)}).then(({ default: own }) => own[name](...args), args.at(-1));
  export default new Proxy({}, { get: (_, name) => later(name) });`;

/** External, too, and imported when they are wanted: not by the bridge. */
const LAZY = {
  // Bundle what extensions have for the app. They take a plugin's promise for the plugin.
  '@rollup/plugin-alias': laterFunction('default'),
  '@rollup/plugin-node-resolve': laterFunction('default'),
  '@rollup/plugin-virtual': laterFunction('default'),
  rolldown: laterFunction('rolldown'),
  rollup: laterFunction('rollup'),
  // Asked for its metrics, when it runs the server: a tenth of a second.
  pm2: laterCallbacks,
};

/**
 * Imports in Directus that no bundler can follow, with their replacements; by file. Each pattern must match once, and
 * must not depend on Directus' formatting, which differs from one version to the next.
 */
const EDITS = {
  // Names its drivers in a table and imports what it finds there.
  'storage/get-storage-driver.js': [
    /\bimport\(driverName\)/,
    (source) => {
      const names = [...source.matchAll(/:\s*["'](@directus\/storage-driver-[a-z0-9]+)["']/g)].map(([, name]) => name);
      const table = names.map((name) => `${JSON.stringify(name)}: () => import(${JSON.stringify(name)})`);
      return `({ ${table.join(', ')} })[driverName]()`;
    },
  ],
  // Imports an extension; to a bundler it looks as if it could be any file beside itself.
  'utils/import-file-url.js': [/\bimport\((?=`\.\/)/, () => '((path) => import(new URL(path, root).href))('],
};

const packageOf = (specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** Leaves EXTERNAL and LAZY out, by the place where the importing module finds it. */
const external = {
  name: 'external',
  setup({ onResolve, onLoad, resolve: find }) {
    onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, ...from }) => {
      const lazy = Object.hasOwn(LAZY, path);
      if (pluginData === 'found' || !(lazy || EXTERNAL.has(packageOf(path)))) return undefined;
      const { kind, importer, namespace, resolveDir } = from;
      const eager = lazy && kind === 'import-statement' && namespace !== 'lazy';
      if (eager) return { path, namespace: 'lazy', pluginData: resolveDir };
      const found = await find(path, { kind, importer, resolveDir, pluginData: 'found' });
      // Another database's driver may not be there; it fails when it is wanted, as it would have.
      return found.errors.length > 0 ? { path, external: true } : { path: found.path, external: true };
    });
    onLoad({ filter: /^/, namespace: 'lazy' }, ({ path, pluginData }) => {
      return { contents: LAZY[path](path), resolveDir: pluginData };
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
        const [what, edit] = EDITS[name];
        if (source.split(what).length !== 2) throw new Error(`${name} has changed: there is not one ${what} in it`);
        source = source.replace(what, () => edit(source));
        edited.add(name);
      }
      // The migrations are read from the bundle's folder.
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
  // CommonJS modules load Node's own modules with it.
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
