// Default values in snapshots, as Directus' schema inspector cuts and quotes them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { equal, meaning, sameMeaning, sql } from '../image/defaults.mjs';

const sqlOf = (value, type) => sql(meaning(value, type), type);

test('doubled quotes of a text are halved, and doubled again in SQL', () => {
  assert.deepEqual(meaning("it''s", 'string'), { kind: 'literal', value: "it's" });
  assert.equal(sqlOf("it''s", 'string'), "'it''s'");
  assert.equal(sqlOf("it's", 'string'), "'it''s'");
});

test('a backslash is escaped independently of standard_conforming_strings', () => {
  assert.equal(sqlOf('back\\slash', 'text'), "E'back\\\\slash'");
});

test('a text that Directus cut off at :: is unusable', () => {
  assert.equal(meaning("'a", 'string').kind, 'unusable');
  assert.equal(meaning("upper('x'", 'text').kind, 'unusable');
  assert.equal(meaning("(now() + '1 day'", 'timestamp').kind, 'unusable');
  assert.equal(meaning('{"a": "b', 'json').kind, 'unusable');
});

test('now() and CURRENT_TIMESTAMP are the same default', () => {
  assert.ok(sameMeaning(meaning('now()', 'timestamp'), meaning('CURRENT_TIMESTAMP', 'timestamp')));
  assert.equal(sqlOf('now()', 'timestamp'), 'CURRENT_TIMESTAMP');
  assert.equal(sqlOf('current_timestamp(3)', 'timestamp'), 'CURRENT_TIMESTAMP(3)');
});

test('an expression stays an expression where the type has no such literal', () => {
  assert.equal(sqlOf('CURRENT_DATE', 'date'), 'CURRENT_DATE');
  assert.equal(sqlOf('uuid_generate_v4()', 'uuid'), 'uuid_generate_v4()');
  assert.equal(sqlOf('gen_random_uuid()', 'uuid'), 'gen_random_uuid()');
  assert.equal(sqlOf('(1 + 2)', 'integer'), '(1 + 2)');
});

test('a text is a literal, as Directus sets it, even if it could be an expression', () => {
  assert.equal(sqlOf('CURRENT_USER', 'string'), "'CURRENT_USER'");
  assert.equal(sqlOf('version()', 'string'), "'version()'");
});

test('a sequence is unusable', () => {
  assert.equal(meaning("nextval('a_b_seq'::regclass)", 'integer').kind, 'unusable');
});

test('numbers, truth values and JSON are literals', () => {
  assert.equal(sqlOf(3, 'integer'), "'3'");
  assert.equal(sqlOf('-1.5', 'decimal'), "'-1.5'");
  assert.equal(sqlOf(false, 'boolean'), "'false'");
  assert.equal(sqlOf(1, 'boolean'), "'true'");
  assert.equal(sqlOf({ a: "it''s" }, 'json'), `'{"a":"it''s"}'`);
  assert.equal(sqlOf('text', 'json'), `'"text"'`);
  assert.equal(sqlOf(5, 'string'), "'5'");
});

test('a fraction is unusable for an integer', () => {
  assert.equal(meaning(1.5, 'integer').kind, 'unusable');
  assert.equal(meaning('1.5', 'decimal').kind, 'literal');
});

test('a moment is the same in every time zone and notation', () => {
  const same = (one, other, type) => sameMeaning(meaning(one, type), meaning(other, type));
  assert.ok(same('2020-02-03 04:05:06+02', '2020-02-03 02:05:06+00', 'timestamp'));
  assert.ok(same('2020-02-03', '2020-02-03 00:00:00', 'dateTime'));
  assert.ok(!same('2020-02-03', '2020-02-04', 'date'));
});

test('no default and a null default are the same', () => {
  assert.deepEqual(meaning(null, 'text'), meaning(undefined, 'text'));
  assert.equal(sqlOf(null, 'text'), null);
});

test('equality ignores the order of keys, but not that of lists', () => {
  assert.ok(equal({ a: 1, b: [{ c: 1, d: 2 }] }, { b: [{ d: 2, c: 1 }], a: 1 }));
  assert.ok(!equal([1, 2], [2, 1]));
  assert.ok(equal(null, undefined));
  assert.ok(!equal({}, null));
  assert.ok(!equal('1', 1));
});
