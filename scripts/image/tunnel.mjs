// An encrypted connection to PostgreSQL, made by Directus' own client, for a boot whose TLS library cannot make it.
//
// Usage: node tunnel.mjs, with the variables of the bridge. Standard input is a socket. The first line that is written
// to it is the outcome, `connected` or the reason of the failure; after `connected`, bytes are passed both ways.
//
// pg opens the connection as it does for Directus: the same options from the same variables, the same checks.

import { channel } from './channel.mjs';
import { load } from './directus.mjs';

function fail(error) {
  channel.end(`${[error.code, error.message].filter(Boolean).join(': ').replace(/\s+/g, ' ')}\n`, () => process.exit(1));
}

const { default: getDatabase } = await load('database/index.js');
const { client } = getDatabase();
const { connection, host, port } = new client.driver.Client(client.connectionSettings);
connection.on('error', fail);
connection.on('connect', () => connection.requestSsl());
connection.on('sslconnect', () => {
  const { stream } = connection;
  stream.once('secureConnect', () => {
    // pg would read the server's messages.
    stream.removeAllListeners('data');
    connection.removeAllListeners('error');
    channel.write('connected\n');
    for (const [from, to] of [
      [channel, stream],
      [stream, channel],
    ]) {
      from.on('error', () => process.exit(1));
      from.on('close', () => process.exit(0));
      from.pipe(to);
    }
  });
});
connection.connect(port, host);
