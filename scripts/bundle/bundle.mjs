// Bundles Directus' API, so that a start reads a few hundred files instead of a few thousand and imports them in half
// the time. Runs in the image build, in the base image, with the esbuild that Directus depends on; needs no network.
//
// Usage: node bundle.mjs FOLDER. The folder gets the files that the server's start and the bridge import, under their
// names in @directus/api/dist, and their shared chunks. It is one bundle, so that Directus' singletons (its database,
// its logger, its environment) stay single.
//
// The packages stay in place: import.meta.url and __dirname of a bundled module keep their original values, so that it
// finds the files that it reads, native modules included. Only Directus' migrations are imported by path from inside
// the bundle; they are bundled, too, and found next to it.

import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [out] = process.argv.slice(2).map((path) => resolve(path));
if (out === undefined) throw new Error('usage: node bundle.mjs FOLDER');

const dist = fileURLToPath(new URL('../', import.meta.resolve('@directus/api/cli/run.js')));
const requireAsApi = createRequire(join(dist, 'index.js'));
// Directus depends on tsx, which depends on esbuild.
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
  'logger/index.js',
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
  errors: '@directus/errors',
  'system-data': '@directus/system-data',
  version: 'directus/version',
  yaml: 'js-yaml',
};

/** Packages that are not bundled: native code, or programs that look for their own files. */
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
  // Telemetry of AI requests. Some of their dependencies are not installed; Directus imports them on demand.
  '@braintrust/otel',
  '@langfuse/otel',
]);

/** The source of a module with a function that imports the package when it is called; its callers accept a promise. */
const laterFunction = (name) => (specifier) =>
  `const later = async (options) => (await import(${JSON.stringify(specifier)})).${name}(options);
  export { later as ${name} };`;

/** The source of a module with an object whose functions import the package when called, and use a callback. */
const laterCallbacks = (specifier) =>
  `const later = (name) => (...args) =>
    void import(${JSON.stringify(specifier)}).then(({ default: own }) => own[name](...args), args.at(-1));
  export default new Proxy({}, { get: (_, name) => later(name) });`;

/** Further external packages, which are imported on first use: the bridge needs none of them. */
const LAZY = {
  // Bundle the app's part of extensions. They accept a plugin's promise instead of the plugin.
  '@rollup/plugin-alias': laterFunction('default'),
  '@rollup/plugin-node-resolve': laterFunction('default'),
  '@rollup/plugin-virtual': laterFunction('default'),
  rolldown: laterFunction('rolldown'),
  rollup: laterFunction('rollup'),
  // Directus reads metrics from it if it runs the server. Its import takes a tenth of a second.
  pm2: laterCallbacks,
};

/**
 * Imports in Directus that no bundler can follow, and their replacements, by file. Each pattern must match exactly
 * once, and must not depend on the formatting, which differs between versions of Directus.
 */
const EDITS = {
  // Imports a driver by its name from a table.
  'storage/get-storage-driver.js': [
    /\bimport\(driverName\)/,
    (source) => {
      const names = [...source.matchAll(/:\s*["'](@directus\/storage-driver-[a-z0-9]+)["']/g)].map(([, name]) => name);
      const table = names.map((name) => `${JSON.stringify(name)}: () => import(${JSON.stringify(name)})`);
      return `({ ${table.join(', ')} })[driverName]()`;
    },
  ],
  // Imports an extension; for a bundler it could be any file in the same folder.
  'utils/import-file-url.js': [/\bimport\((?=`\.\/)/, () => '((path) => import(new URL(path, root).href))('],
};

const packageOf = (specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** Excludes EXTERNAL and LAZY, and imports them by the absolute path that the importing module would find. */
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
      // The driver of another database may not be installed; its import then fails on use, as in the original.
      return found.errors.length > 0 ? { path, external: true } : { path: found.path, external: true };
    });
    onLoad({ filter: /^/, namespace: 'lazy' }, ({ path, pluginData }) => {
      return { contents: LAZY[path](path), resolveDir: pluginData };
    });
  },
};

/** Replaces `import.meta` and `__dirname` of each module by their original values. */
const origins = {
  name: 'origins',
  setup({ onLoad, onEnd }) {
    const edited = new Set();
    onLoad({ filter: /\.[cm]?js$/ }, async ({ path }) => {
      let source = await readFile(path, 'utf8');
      const name = path.startsWith(dist) ? path.slice(dist.length) : undefined;
      if (Object.hasOwn(EDITS, name ?? '')) {
        const [pattern, edit] = EDITS[name];
        if (source.split(pattern).length !== 2) throw new Error(`${name} has changed: ${pattern} does not match once`);
        source = source.replace(pattern, () => edit(source));
        edited.add(name);
      }
      // Directus reads the migrations from the folder of this module: that of the bundle.
      const origin = name === 'database/migrations/run.js' ? join(out, name) : path;
      if (/\bimport\.meta\b/.test(source)) {
        source = source.replace(/\bimport\.meta\.(url|dirname|filename)\b/g, (_, property) =>
          JSON.stringify({ url: pathToFileURL(origin).href, dirname: join(origin, '..'), filename: origin }[property]),
        );
      } else if (/\b__(?:dirname|filename)\b/.test(source) && !/\b(?:const|let|var)\s+__dirname\b/.test(source)) {
        // After a "use strict", which must stay first, and on the same line.
        const [, strict, rest] = /^((?:#!.*\n)?(?:\s*['"]use strict['"])?)([\s\S]*)$/.exec(source);
        const declared = `;var __dirname = ${JSON.stringify(join(path, '..'))}, __filename = ${JSON.stringify(path)};`;
        source = `${strict}${declared}${rest}`;
      }
      return { contents: source, loader: 'js' };
    });
    onEnd(() => {
      const unused = Object.keys(EDITS).filter((name) => !edited.has(name));
      return { errors: unused.map((name) => ({ text: `${name} is not part of the bundle any more` })) };
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
  // Packages are resolved from here.
  absWorkingDir: dist,
  outdir: out,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: `node${process.versions.node.split('.')[0]}`,
  // Directus reads the names of classes.
  keepNames: true,
  // Two thirds of the size; the original stays in the image.
  minifyWhitespace: true,
  minifySyntax: true,
  chunkNames: 'chunks/[name]-[hash]',
  // For CommonJS modules, which load Node's own modules with `require`.
  banner: {
    js: `import { createRequire as createBundleRequire } from 'node:module';
const require = createBundleRequire(${JSON.stringify(pathToFileURL(join(dist, 'index.js')).href)});`,
  },
  plugins: [external, origins],
  metafile: true,
  logLevel: 'error',
  logOverride: { 'unsupported-require-call': 'warning', 'indirect-require': 'warning' },
});
for (const { text, location } of warnings) console.warn(`${location?.file}:${location?.line}: ${text}`);
const files = Object.values(metafile.outputs);
const bytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
console.log(`${Object.keys(metafile.inputs).length} modules in ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB`);
