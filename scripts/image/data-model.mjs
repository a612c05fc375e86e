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

/** Makes the data model read-only in this process. */
export async function protectDataModel() {
  const { ForbiddenError } = await load('package/errors.js');
  for (const [module, name, methods] of EDITORS) {
    const { prototype } = (await load(module))[name];
    for (const method of methods) {
      const own = prototype[method];
      if (typeof own !== 'function') throw new Error(`${name} of Directus has no ${method} any more`);
      prototype[method] = async function (...args) {
        // Directus refuses other users itself, without a word about the server.
        if (this.accountability && this.accountability.admin !== true) return own.apply(this, args);
        throw new ForbiddenError({ reason: REFUSAL });
      };
    }
  }
}
