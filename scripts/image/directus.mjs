// Directus' modules, as scripts/bundle/bundle.mjs bundled them when the image was built.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Their folder; they have the names that they have in @directus/api/dist. */
export const bundle = new URL('../bundle/', import.meta.url);

// Compiled when the image was built, too. Without the cache, or for another user than the image's, they are compiled
// again: Node checks versions and sources itself, and is silent if it may not write what is missing.
enableCompileCache(fileURLToPath(new URL('compile-cache', bundle)));

/** Imports one of them. */
export const load = (module) => import(new URL(module, bundle));

/** The variables as Directus reads them. */
export const env = async () => (await load('package/env.js')).useEnv();
