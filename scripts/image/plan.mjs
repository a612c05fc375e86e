// Plans: reads the database, compares it with the snapshot, and puts the result into the form of the protocol.

import { compare } from './compare.mjs';
import { readCurrent } from './current.mjs';
import { env } from './directus.mjs';

/** Returns the protocol's reply, and the changes with the details for apply.mjs. */
export async function plan(database, snapshot) {
  await checkExcluded(snapshot);
  const current = await readCurrent(database);
  const { changes, warnings } = compare(current, snapshot);
  return { changes, reply: { directus: current.version, changes: changes.map(asReply), warnings } };
}

/** Directus ignores these tables, so the plan would never become empty. */
async function checkExcluded({ collections = [] }) {
  const excluded = [(await env()).DB_EXCLUDE_TABLES ?? []].flat();
  const found = collections.find(({ collection, schema }) => schema && excluded.includes(collection));
  if (found) {
    throw new Error(
      `the collection ${found.collection} of the snapshot is in DB_EXCLUDE_TABLES, so Directus ignores its table: remove it from one of them`,
    );
  }
}

/** A new field with the properties of its column, by which the boot judges if other servers can go on. */
function asReply({ entity, collection, field, diff, want }) {
  const isNewField = entity === 'field' && diff[0].kind === 'N';
  return { entity, collection, field, diff: isNewField ? [{ kind: 'N', rhs: want.schema ?? null }] : diff };
}
