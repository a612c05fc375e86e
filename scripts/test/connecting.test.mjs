import assert from 'node:assert/strict';
import { test } from 'node:test';

import { retried, waitForFreeConnections } from '../image/connecting.mjs';

const refusal = (code) => Object.assign(new Error('refused'), { code });

/** Returns a function that fails with these codes in turn, then connects, and the number of its calls. */
function server(...codes) {
  const calls = { number: 0 };
  const connect = async () => {
    const code = codes[calls.number++];
    if (code) throw refusal(code);
    return 'connected';
  };
  return [connect, calls];
}

test('a server without a free connection is tried again', async () => {
  const [connect, calls] = server('53300', '53300');
  assert.equal(await retried(connect, 10_000), 'connected');
  assert.equal(calls.number, 3);
});

test('another refusal is an error at once', async () => {
  const [connect, calls] = server('28P01');
  await assert.rejects(retried(connect, 10_000), { code: '28P01' });
  assert.equal(calls.number, 1);
});

test('the refusal is the error once the time is over', async () => {
  const [connect, calls] = server(...Array(100).fill('53300'));
  await assert.rejects(retried(connect, 300), { code: '53300' });
  assert.ok(calls.number > 1, `${calls.number} calls`);
});

test('the method of a knex client keeps its receiver', async () => {
  const client = {
    calls: 0,
    async acquireRawConnection() {
      if (this.calls++ === 0) throw refusal('53300');
      return this.calls;
    },
  };
  waitForFreeConnections(client);
  assert.equal(await client.acquireRawConnection(), 2);
});
