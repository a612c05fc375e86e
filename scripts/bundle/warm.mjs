// Fills the compile cache of the bundle by importing all of it except the server's start. Runs in the image build, as
// the image's user, since Node has one cache per user.
//
// Usage: node warm.mjs FOLDER, the folder that bundle.mjs filled.

import { readdir } from 'node:fs/promises';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = resolve(process.argv[2]);
const { directory, message } = enableCompileCache(join(folder, 'compile-cache'));
if (directory === undefined) throw new Error(`no compile cache: ${message}`);

// Read when the modules are imported; no connection is opened.
Object.assign(process.env, { DB_CLIENT: 'pg', DB_HOST: 'none', DB_PORT: '1', DB_DATABASE: 'none', DB_USER: 'none' });
Object.assign(process.env, { LOG_LEVEL: 'silent', SECRET: 'none', TELEMETRY: 'false' });

const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.js'));
const entries = files.filter((file) => file !== 'start.js' && !file.startsWith('chunks/'));
for (const file of entries) await import(pathToFileURL(join(folder, file)));
flushCompileCache();
const kept = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
console.log(`${kept.length} modules compiled for Node ${process.version}`);
// Timers of the imported modules would keep the process alive.
process.exit(0);
