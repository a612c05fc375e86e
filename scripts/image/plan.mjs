// Plans: reads the database, compares it with the snapshot, and puts the result into the form of the protocol.

import { compare } from './compare.mjs';
import { readCurrent } from './current.mjs';
import { env } from './directus.mjs';

/** Returns what the protocol's reply holds, and the changes with all that apply.mjs needs. */
export async function plan(database, snapshot) {
  await checkExcluded(snapshot);
  const current = await readCurrent(database);
  const { changes, warnings } = compare(current, snapshot);
  return { changes, reply: { type: 'plan', directus: current.version, changes: changes.map(asReply), warnings } };
}

/** Directus does not see these tables, so no apply would ever be done. */
async function checkExcluded({ collections = [] }) {
  const excluded = [(await env()).DB_EXCLUDE_TABLES ?? []].flat();
  const found = collections.find(({ collection, schema }) => schema && excluded.includes(collection));
  if (found) {
    throw new Error(
      `the collection ${found.collection} of the snapshot is in DB_EXCLUDE_TABLES, so Directus ignores its table: remove it from one of them`,
    );
  }
}

const asReply = ({ entity, collection, field, diff }) => ({ entity, collection, field, diff });
