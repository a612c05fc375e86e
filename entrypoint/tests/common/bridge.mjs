// Stand-in for scripts/image/bridge.mjs in tests of the boot's own phases, or of a Directus that fails, hangs or reports
// false success. The JSON object BRIDGE_REPLIES replaces the replies by request. Instead of a reply it may contain `hang`
// (never reply), `exit` (exit with 3), `mode` (print the mode and exit) or `garbage` (reply with invalid JSON). The
// end-to-end tests cover the real bridge with a real Directus.

import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

const replies = {
  'read-snapshot': { ok: { directus: '0', tables: [], folders: [], columns: [], aliases: [], relations: [] } },
  bootstrap: { ok: { installed: false, migrated: 0, admin: 'present' } },
  plan: { ok: { directus: '0', changes: [] } },
  apply: { ok: null },
  begin: { ok: null },
  commit: { ok: [] },
  rollback: { ok: null },
  ...JSON.parse(process.env.BRIDGE_REPLIES ?? '{}'),
};

/** Returns the rows for the boot's queries, as if every migration of Directus had been applied. */
function rows(sql) {
  if (sql.includes('pg_current_snapshot')) return [['1:1:']];
  if (sql.includes('pg_current_xact_id_if_assigned')) return [[null, '', '', '', '[]']];
  if (sql.includes('json_build_object')) return [['{}']];
  if (sql.includes('string_agg')) return [['']];
  if (sql.includes('pg_locks') || sql.includes('track_counts')) return [['1']];
  return sql.includes('directus_migrations') ? (replies['applied migrations'] ?? [['20200101A'], ['20210101A']]) : [];
}

const channel = new Socket({ fd: 0, readable: true, writable: true });
for await (const line of createInterface({ input: channel })) {
  const { do: request, sql } = JSON.parse(line);
  const reply = replies[request] ?? { ok: rows(sql) };
  if (reply === 'exit') process.exit(3);
  else if (reply === 'mode') console.log(`mode ${process.argv[3]}`), process.exit(3);
  else if (reply === 'garbage') channel.write('hello\n');
  else if (reply !== 'hang') channel.write(`${JSON.stringify(reply)}\n`);
}
