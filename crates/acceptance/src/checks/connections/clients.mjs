// Lets Directus and the boot connect to the same servers, one cell after another, and prints the outcomes as JSON lines.
//
// Usage: node clients.mjs CELLS.json. A cell is { name, server, variables }. Without a server the variables name one.
// A server is { listen, tls, upstream }: where it listens (host, or the folder of a UNIX socket; default 127.0.0.1), the
// options of tls.createServer (none: it forwards bytes), and the server behind it ({ host, port, tls }).

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const [cellsPath] = process.argv.slice(2);
const SCRIPTS = '/directus/scripts';
/** A client that has not answered by then hangs. */
const DEADLINE = 20_000;
const PARALLEL = 2;
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** Directus' own module for its database, as the bridge loads it. */
const DIRECTUS = `
  const { load } = await import('${SCRIPTS}/directus.mjs');
  const { default: getDatabase } = await load('database/index.js');
  try {
    await getDatabase().raw('select 1');
    console.log('connected');
    process.exit(0);
  } catch (error) {
    console.log(error.code, error.message);
    process.exit(1);
  }`;

/** Reads exactly so many bytes from a socket and leaves the rest in it. */
async function read(socket, count) {
  for (;;) {
    const bytes = socket.read(count);
    if (bytes) return bytes;
    await new Promise((resolve, reject) => {
      socket.once('readable', resolve);
      socket.once('close', () => reject(new Error('closed')));
    });
  }
}

/** Passes bytes in both directions until one side ends. */
function join(one, other) {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ]) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}

/** A connection to the server behind, encrypted if it has `tls`. */
async function connect({ host, port, tls: options }) {
  const socket = net.connect(port, host);
  if (!options) return socket;
  socket.write(SSL_REQUEST);
  await read(socket, 1);
  return tls.connect({ socket, rejectUnauthorized: false, ...options });
}

async function serve(socket, { tls: options, upstream }) {
  socket.on('error', () => {});
  if (!options) return join(socket, await connect(upstream));
  const request = await read(socket, 8);
  // Encrypted connections only, as `hostssl` alone in pg_hba.conf.
  if (!request.equals(SSL_REQUEST)) return socket.destroy();
  if (options === 'refused') return socket.end('N');
  socket.write('S');
  const secure = new tls.TLSSocket(socket, { isServer: true, ...options, secureContext: tls.createSecureContext(options) });
  secure.on('error', () => socket.destroy());
  join(secure, await connect(upstream));
}

/** Starts a server; returns it and the variables that name it. */
function start(server) {
  const listen = server.listen ?? '127.0.0.1';
  const listener = net.createServer((socket) => serve(socket, server).catch(() => socket.destroy()));
  if (listen.startsWith('/')) mkdirSync(listen, { recursive: true });
  return new Promise((resolve, reject) => {
    const ready = () => {
      const port = String(listener.address().port ?? 5432);
      resolve([listener, { DB_HOST: listen, DB_PORT: port }]);
    };
    listener.on('error', reject);
    if (listen.startsWith('/')) listener.listen(`${listen}/.s.PGSQL.5432`, ready);
    else listener.listen(0, listen, ready);
  });
}

/** Runs a client with these variables alone; returns its exit code and output. */
function run(command, variables) {
  return new Promise((resolve) => {
    const [program, ...rest] = command;
    const child = spawn(program, rest, { env: { PATH: process.env.PATH, HOME: '/tmp', ...variables } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
    const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 'hangs', output: output.trim() });
    });
  });
}

async function outcome({ name, server, variables }) {
  let listener;
  let place = {};
  try {
    if (server) [listener, place] = await start(server);
  } catch (error) {
    // No IPv6 in this container.
    if (error.code !== 'EADDRNOTAVAIL') throw error;
    return { name, skipped: error.message };
  }
  const all = { ...place, ...variables };
  // A URL has the port of the server that was just started.
  for (const key of Object.keys(all)) all[key] = all[key].replaceAll('{port}', place.DB_PORT);
  const directus = await run(['node', '--input-type=module', '--eval', DIRECTUS], all);
  const boot = await run(['/usr/local/bin/entrypoint', 'status', '--json'], all);
  listener?.close();
  return { name, directus, boot };
}

const cells = JSON.parse(readFileSync(cellsPath, 'utf8'));
const waiting = cells.values();
const work = async () => {
  for (const cell of waiting) console.log(JSON.stringify(await outcome(cell)));
};
await Promise.all(Array.from({ length: PARALLEL }, work));
process.exit(0);
