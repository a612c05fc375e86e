// The last step of the build: writes package.json in upstream's form, with the packages that install.mjs replaced, and
// checks that the native modules load. They are resolved from @directus/api, as Directus does, since no package is
// hoisted.
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [, , pnpmVersion] = process.argv;

// Without "dependencies", so that installing an extension with pnpm keeps the installed packages.
const { name, version, type, exports, bin } = JSON.parse(readFileSync('package.json', 'utf8'));
const packageManager = `pnpm@${pnpmVersion}`;
const substitutes = JSON.parse(readFileSync('substitutes.json', 'utf8'));
const replaced = Object.keys(substitutes).length > 0 ? { substitutes } : {};
writeFileSync('package.json', JSON.stringify({ name, version, type, exports, bin, packageManager, ...replaced }, null, 2));

const require = createRequire(realpathSync('node_modules/@directus/api/package.json'));

for (const module of ['isolated-vm', 'sqlite3', 'argon2', 'sharp', 'pg']) {
	require(module);
	console.log(`${module} loads`);
}

const { Isolate } = require('isolated-vm');
const isolate = new Isolate({ memoryLimit: 8 });
const result = isolate.compileScriptSync('6 * 7').runSync(isolate.createContextSync());
if (result !== 42) throw new Error(`isolated-vm computed ${result} instead of 42`);
isolate.dispose();
