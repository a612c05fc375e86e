// Errors on one line, without SQL, passwords and contents of rows.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { failure, inStep } from '../image/failure.mjs';

const ofPostgres = (message, more = {}) =>
  failure(Object.assign(new Error(message), { severity: 'ERROR', code: '22P02', ...more })).message;

test('the statement with its values is left out', () => {
  assert.equal(
    ofPostgres('insert into "a" ("password") values ($1) - column "b" does not exist'),
    'column "b" does not exist',
  );
});

test('a value of a row is left out', () => {
  assert.equal(
    ofPostgres('alter table "a" - invalid input syntax for type integer: "secret"'),
    'invalid input syntax for type integer',
  );
  assert.equal(
    ofPostgres('value "99999999999" is out of range for type integer'),
    'a value is out of range for type integer',
  );
  const detail = 'Key (email)=(a@b.c) already exists.';
  assert.equal(
    ofPostgres('duplicate key value violates unique constraint "x"', { detail }),
    'duplicate key value violates unique constraint "x": Key (email)=(…) already exists.',
  );
  assert.equal(
    ofPostgres('null value', { detail: 'Failing row contains (1, secret).' }),
    'null value: Failing row contains (…).',
  );
  assert.equal(
    failure(new Error('Value "secret" for field "a" in collection "b" has to be unique.')).message,
    'A value for field "a" in collection "b" has to be unique.',
  );
});

test('names are kept', () => {
  assert.equal(
    ofPostgres('column "a" of relation "b" contains null values'),
    'column "a" of relation "b" contains null values',
  );
  assert.equal(
    failure(new Error('Field "a" already exists in collection "b".')).message,
    'Field "a" already exists in collection "b".',
  );
});

test('a lost connection has its own code', () => {
  assert.equal(failure(new Error('Connection terminated unexpectedly')).code, 'connection-lost');
  assert.equal(failure(Object.assign(new Error('x'), { code: 'ECONNRESET' })).code, 'connection-lost');
});

test('the message begins with the failed step, and the code is kept', () => {
  const error = inStep(
    'creating the field a.b',
    Object.assign(new Error('Value "x" for field "a" is too long'), { code: 'VALUE_TOO_LONG' }),
  );
  assert.equal(error.message, 'creating the field a.b: A value for field "a" is too long');
  assert.equal(error.code, 'VALUE_TOO_LONG');
});

test('a thrown value that is not an Error is shown', () => {
  assert.equal(failure('text').message, 'text');
  assert.equal(failure(undefined).message, 'undefined');
});
