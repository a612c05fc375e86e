// Directus' modules, as scripts/bundle/bundle.mjs bundled them when the image was built.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/** The folder that they lie in, under their names in @directus/api/dist. */
export const bundle = new URL('../bundle/', import.meta.url);

// Compiled when the image was built, too. Without it, or for another user than the image's, they are compiled anew:
// Node looks at versions and sources by itself, and says nothing when it may not write what it lacks.
enableCompileCache(fileURLToPath(new URL('compile-cache', bundle)));

/** Imports one of them. */
export const load = (module) => import(new URL(module, bundle));
