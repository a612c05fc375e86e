// Directus' modules, as scripts/bundle/bundle.mjs bundled them when the image was built.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The folder of the modules, which have the same names as in @directus/api/dist. */
export const bundle = new URL('../bundle/', import.meta.url);

// Filled when the image was built. Without the cache, or for another user than the image's, Node compiles the modules
// again: it checks versions and sources by itself, and ignores a cache that it may not write.
enableCompileCache(fileURLToPath(new URL('compile-cache', bundle)));

/** Imports one of these modules. */
export const load = (module) => import(new URL(module, bundle));

/** The variables as Directus reads them. */
export const env = async () => (await load('package/env.js')).useEnv();
