// What reconciliation says in Korean: from what its sentences are made of, and in the API's own words where that is not known.
import assert from 'node:assert/strict';
import test from 'node:test';
import { told } from '../../../api/web/src/admin/reconciliation/told.ts';
import * as ko from '../../../api/web/src/words/admin/reconciliation/ko.ts';

const part = (code: string, facts: Record<string, string> = {}) => ({ code, facts });

test('a sentence is made of its parts and the facts in them, words among the facts included', () => {
  assert.equal(told('rows: 4, wrong: 1', [part('rows', { count: '4' }), part('wrong_rows', { count: '1' })], ko), '4행, 다른 행 1개');
  assert.equal(told('bookings 01a2 is removed', [part('row_removed', { table: 'bookings', id: '01a2' })], ko), '예매 01a2 행을 지웁니다');
  assert.equal(told('none', [part('none')], ko), '없음');
});

test('what has no parts, or one of another release, is said as the API says it', () => {
  assert.equal(told('3', [], ko), '3');
  assert.equal(told('version 3: missing', undefined, ko), 'version 3: missing'); // kept by an earlier release
  assert.equal(told('something new', [part('rows', { count: '1' }), part('yet_to_come')], ko), 'something new');
  assert.equal(told('none', [part('none')], null), 'none'); // in English
});

test('what a sentence is made of ends so that another can follow it', () => {
  for (const [code, sentence] of Object.entries(ko.sentences)) assert.doesNotMatch(sentence, /[.,;]$/, code);
});
