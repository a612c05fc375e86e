// Directus' installation, migrations and first administrator, as upstream's bootstrap does them.

import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundle, env, load } from './directus.mjs';
import { inStep } from './failure.mjs';

/** Brings Directus' own tables up to date; `admin`: create the first administrator if there is none. */
export async function bootstrap(database, admin) {
  const owner = await takeOwner();
  const installed = await install(database);
  const migrated = await migrate(database, installed);
  if (installed) await setName(database);
  if (installed || migrated) await setOwner(database, owner);
  return { installed, migrated, admin: await ensureAdmin(database, admin) };
}

/** Reads the schema that Directus' services work with, as it is at this moment. */
export async function readSchema(database) {
  const { getSchema } = await load('utils/get-schema.js');
  return getSchema({ database, bypassCache: true });
}

/** Installs Directus' system tables if there are none; returns true if it did. */
async function install(database) {
  const { isInstalled } = await load('database/index.js');
  if (await isInstalled()) return false;
  const { default: seed } = await load('database/seeds/run.js');
  try {
    await seed(database);
  } catch (error) {
    throw inStep("installing Directus' system tables", error, true);
  }
  return true;
}

/** Runs Directus' migrations and custom ones; returns how many ran. */
async function migrate(database, installed) {
  const { default: run } = await load('database/migrations/run.js');
  const done = new Set((await database('directus_migrations').select('version')).map((row) => row.version));
  const pending = [...(await ownMigrations()), ...(await customMigrations())]
    .filter((file) => !done.has(version(file)))
    .sort((one, other) => (version(one) > version(other) ? 1 : -1));
  let count = 0;
  // Directus' error does not name the migration.
  const counting = (_, { sql }) => {
    if (sql.startsWith('insert into "directus_migrations"')) count += 1;
  };
  database.on('query-response', counting);
  try {
    await run(database, 'latest');
  } catch (error) {
    if (count === pending.length) throw error;
    throw inStep(`Directus' migration ${pending[count]}`, error, !installed);
  } finally {
    database.off('query-response', counting);
  }
  return count;
}

/** Creates the first administrator if requested and missing; returns `present`, `none` or `made`. */
async function ensureAdmin(database, wanted) {
  if (await hasAdministrator(database)) return 'present';
  if (!wanted) return 'none';
  const email = String((await env()).ADMIN_EMAIL);
  // As Directus compares them.
  const user = await database('directus_users').whereRaw('lower(email) = lower(?)', email).first('status');
  if (user) {
    const [state, way] =
      user.status === 'active'
        ? ["without administrator's rights", 'give them the role Administrator']
        : [`that is ${user.status}`, "make them active, with administrator's rights"];
    throw new Error(
      `there is no active administrator, and there is a user ${email} ${state}: ${way}, or set another ADMIN_EMAIL`,
    );
  }
  const { createAdmin } = await load('utils/create-admin.js');
  await createAdmin(await readSchema(database));
  if (!(await hasAdministrator(database))) throw new Error(`Directus created no administrator ${email}`);
  return 'made';
}

/** Returns true if an active user has administrator's rights: their own, their role's, or those of a role above it. */
async function hasAdministrator(database) {
  const { rows } = await database.raw(`
    with recursive held ("user", role) as (
      select id, role from directus_users where status = 'active'
      union
      select held."user", above.parent from held join directus_roles above on above.id = held.role
    )
    select exists (
      select from held
      join directus_access access on access."user" = held."user" or access.role = held.role
      join directus_policies policy on policy.id = access.policy
      where policy.admin_access
    ) as found`);
  return rows[0].found;
}

/** Sets PROJECT_NAME on a new database, as upstream's bootstrap does. */
async function setName(database) {
  const { PROJECT_NAME: name } = await env();
  if (name) await (await settings(database)).upsertSingleton({ project_name: String(name) });
}

/**
 * Hides PROJECT_OWNER from Directus' migrations and returns it. A migration would report the owner to Directus'
 * publisher, and, whenever that fails, write so with a query of its own, which breaks the transaction.
 */
async function takeOwner() {
  const variables = await env();
  const { PROJECT_OWNER: owner } = variables;
  delete variables.PROJECT_OWNER;
  // Upstream ignores an owner that is not an e-mail address, without a message.
  return /^[^@\s]+@[^@\s]+$/.test(owner ?? '') ? owner : undefined;
}

/** Sets the owner of a project that has none. A server reports a `pending` one at its next daily turn. */
async function setOwner(database, owner) {
  if (!owner) return;
  const service = await settings(database);
  if ((await service.readSingleton({})).project_owner) return;
  await service.upsertSingleton({ project_owner: owner, product_updates: false, project_status: 'pending' });
}

async function settings(database) {
  const { SettingsService } = await load('services/settings.js');
  return new SettingsService({ schema: await readSchema(database) });
}

/** The files of Directus' own migrations. */
async function ownMigrations() {
  const files = await readdir(fileURLToPath(new URL('database/migrations/', bundle)));
  return files.map(bare).filter((file) => /^[0-9]+[A-Z]-[^.]+$/.test(file));
}

/** The files of custom migrations, which are not part of the image. */
async function customMigrations() {
  const files = await readdir(resolve((await env()).MIGRATIONS_PATH)).catch(() => []);
  return files.filter((file) => file.includes('-') && /\.[cm]?js$/.test(file)).map(bare);
}

const bare = (file) => file.replace(/\.[cm]?js$/, '');
const version = (file) => file.split('-')[0];
