// Refuses changes of the data model, for a server whose database role may not make them: PostgreSQL would refuse them
// too, but as an internal error, and for a request of several steps only after the first ones.
//
// REST, GraphQL, MCP, the AI assistant and extensions all change the data model through three services, so the refusal
// is in these. A hook for requests would cover REST alone, and Directus' events for them come after the statements.

import { load } from './directus.mjs';

const REFUSAL =
  'The data model of this server is changed by releases, not here: its database role may not change the schema. Change it in a development environment, and deploy the image with the new snapshot.';

/** The methods that change the data model, by module and class. */
const EDITORS = [
  [
    'services/collections.js',
    'CollectionsService',
    ['createOne', 'createMany', 'updateOne', 'updateMany', 'updateBatch', 'deleteOne', 'deleteMany'],
  ],
  ['services/fields.js', 'FieldsService', ['createField', 'updateField', 'updateFields', 'deleteField']],
  ['services/relations.js', 'RelationsService', ['createOne', 'updateOne', 'deleteOne']],
];

/** Tables that the server's role may only read (entrypoint/src/reconcile/roles.rs), as knex quotes them in a message. */
const READ_ONLY = /"directus_(collections|fields|relations)"/;

/** PostgreSQL's code for a missing privilege. */
const INSUFFICIENT_PRIVILEGE = '42501';

/** Makes the data model read-only in this process. */
export async function protectDataModel() {
  const { ForbiddenError } = await load('package/errors.js');
  const refusal = () => new ForbiddenError({ reason: REFUSAL });

  for (const [module, name, methods] of EDITORS) {
    const { prototype } = (await load(module))[name];
    for (const method of methods) {
      const own = prototype[method];
      if (typeof own !== 'function') throw new Error(`${name} of Directus has no ${method} any more`);
      prototype[method] = async function (...args) {
        // Directus refuses other users itself, without a word about the server.
        if (this.accountability && this.accountability.admin !== true) return own.apply(this, args);
        throw refusal();
      };
    }
  }

  // The other ways to the same tables, which need no change of the schema: an import, a flow, a restored revision.
  const { default: emitter } = await load('emitter.js');
  emitter.onFilter('database.error', (error) =>
    error?.code === INSUFFICIENT_PRIVILEGE && READ_ONLY.test(error.message) ? refusal() : error,
  );
}
