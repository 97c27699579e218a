// What the reader is told after each way a payment can end, and that one wish keeps one key until it has arrived.
import assert from 'node:assert/strict';
import test from 'node:test';
import { isGivenUp, returnedWith } from '../../../api/web/src/customer/paying/cards.ts';
import { NOT_CHARGED, PaymentWishes, outcomeOf, reasonOf, refusalOf } from '../../../api/web/src/customer/paying/paying.ts';
import { en } from '../../../api/web/src/words/en.ts';

const refused = (status: number, code: string, uncertain = false, reason: unknown = null) => ({ status, code, uncertain, reason });

const CONFIRMATION = { client_secret: 'pi_1_secret', token: 'pi_1' };
const OUTCOMES = [
  [refused(402, 'payment_declined', false, 'lost_card'), { kind: 'declined', reason: 'lost_card', confirmation: null }],
  [refused(402, 'payment_declined'), { kind: 'declined', reason: null, confirmation: null }],
  [{ ...refused(402, 'payment_declined'), confirmation: CONFIRMATION }, { kind: 'declined', reason: null, confirmation: CONFIRMATION }],
  [refused(409, 'payment_in_progress'), { kind: 'pending' }],
  [refused(409, 'booking_already_paid'), { kind: 'settled' }],
  [refused(409, 'booking_expired'), { kind: 'refused' }],
  [refused(409, 'idempotency_in_progress', true), { kind: 'unsent' }],
  [refused(0, 'offline', true), { kind: 'unsent' }],
  [refused(503, 'overloaded', true), { kind: 'unsent' }],
  [refused(500, 'internal_error', true), { kind: 'unsent' }],
  [refused(429, 'rate_limited'), { kind: 'unsent' }],
  [refused(401, 'unauthenticated'), { kind: 'unsent' }],
] as const;

for (const [what, outcome] of OUTCOMES) {
  test(`${what.status} ${what.code} is ${outcome.kind}`, () => assert.deepEqual(outcomeOf(what), outcome));
}

test('why the last card was not charged is said until another one is charged', () => {
  const declined = { status: 'declined', reason: 'lost_card' };
  assert.equal(refusalOf(null, declined, false), 'lost_card'); // a page that was loaded anew
  assert.equal(refusalOf({ kind: 'declined', reason: 'insufficient_funds', confirmation: null }, declined, false), 'insufficient_funds');
  assert.equal(refusalOf({ kind: 'declined', reason: null, confirmation: null }, null, false), '');
  assert.equal(refusalOf({ kind: 'declined', reason: 'lost_card', confirmation: null }, declined, true), null);
  for (const kind of ['unsent', 'settled', 'refused'] as const) assert.equal(refusalOf({ kind }, declined, false), null, kind);
  assert.equal(refusalOf(null, { status: 'approved', reason: null, confirmation: null }, false), null);
  assert.equal(refusalOf({ kind: 'pending' }, { status: 'declined', reason: 'not_charged' }, false), NOT_CHARGED);
});

test('a wish keeps its key and its card until its request has arrived', () => {
  let keys = 0;
  const wishes = new PaymentWishes(() => `key-${(keys += 1)}`);
  const first = wishes.start('b', 'tok_approve');
  wishes.ended('b', { kind: 'unsent' });
  assert.deepEqual(wishes.start('b', 'tok_other'), first, 'another card would be another charge');
  wishes.ended('b', { kind: 'declined', reason: null, confirmation: null });
  assert.deepEqual(wishes.start('b', 'tok_other'), { token: 'tok_other', key: 'key-2' });
});

test('what the server has taken on is no wish of the page any more', () => {
  for (const kind of ['settled', 'pending', 'refused'] as const) {
    const wishes = new PaymentWishes(() => 'key');
    wishes.start('b', 'tok_slow');
    wishes.ended('b', { kind });
    assert.equal(wishes.current('b'), null, kind);
  }
});

test('bookings have wishes of their own', () => {
  let keys = 0;
  const wishes = new PaymentWishes(() => `key-${(keys += 1)}`);
  assert.notEqual(wishes.start('a', 'tok_approve').key, wishes.start('b', 'tok_approve').key);
});

test('what providers call otherwise is told in the same words', () => {
  const words = { ...en.booking.reasons };
  for (const [code, reason] of [
    ['insufficient_funds', 'insufficient_funds'], ['reject_account_payment', 'insufficient_funds'], // the sandbox and Stripe; Toss
    ['reject_card_payment', 'limit'], ['exceed_max_one_day_amount', 'limit'],
    ['invalid_card_expiration', 'expired_card'], ['expired_card', 'expired_card'],
    ['incorrect_cvc', 'mistyped'], ['authentication_required', 'authentication'],
  ] as const) {
    assert.equal(reasonOf(code), reason);
    assert.ok(words[reason], reason);
  }
  assert.equal(words[reasonOf('do_not_honor')], undefined);
});

test('whoever closes the window has given up, and nothing else is called so', () => {
  assert.ok(isGivenUp(Object.assign(new Error(), { code: 'USER_CANCEL' })));
  for (const other of [new Error('USER_CANCEL'), { code: 'NEED_CARD_PAYMENT_DETAIL' }, { code: 3 }, null, 'USER_CANCEL']) {
    assert.ok(!isGivenUp(other));
  }
});

const ADDRESSES = [
  ['?paymentKey=key&orderId=b&amount=1', { token: 'key', refusal: null }],
  ['?paymentKey=key&orderId=another', { token: null, refusal: null }],
  ['?code=PAY_PROCESS_CANCELED&message=Call+0900+…', { token: null, refusal: 'given_up' }],
  ['?code=REJECT_CARD_COMPANY&message=Call+0900+…&orderId=b', { token: null, refusal: 'refused' }],
  ['?message=Call+0900+…', { token: null, refusal: null }],
  ['', { token: null, refusal: null }],
] as const;

for (const [address, returned] of ADDRESSES) {
  test(`of ${address || 'an address of ours'} nothing is shown that somebody has written into it`, () =>
    assert.deepEqual(returnedWith(new URLSearchParams(address), 'b'), returned));
}
