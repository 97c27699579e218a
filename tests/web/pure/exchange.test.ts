// Other seats for a booking, of its date or another: as many as before, and what they come to.
import assert from 'node:assert/strict';
import test from 'node:test';
import { compared, pressed, taken, without } from '../../../api/web/src/customer/exchange/swap.ts';
import type { Booking, Schedule } from '../../../api/web/src/api/shapes.ts';
import { forgetKept } from '../../../api/web/src/api/kept/names.ts';
import { possibleDates } from '../../../api/web/src/customer/exchange/dates.ts';
import { forgetReplacing, keepReplacing, replacementsOf, replacingOf } from '../../../api/web/src/customer/exchange/replacing.ts';
import { isTheirs, isUnchanged, mayExchange, wentBefore } from '../../../api/web/src/customer/booking/state.ts';

const own = ['A-1', 'A-2'];
// What is wanted, what is pressed, and what is wanted then.
const PRESSES: readonly (readonly [readonly string[], string, readonly string[]])[] = [
  [['A-1', 'A-2'], 'B-1', ['A-2', 'B-1']], // one of their own leaves
  [['A-2', 'B-1'], 'B-2', ['B-1', 'B-2']],
  [['B-1', 'B-2'], 'B-3', ['B-2', 'B-3']], // then what was chosen first
  [['A-2', 'B-1'], 'B-1', ['A-2']],
  [['A-2'], 'B-2', ['A-2', 'B-2']],
  [['A-2', 'B-1'], 'A-1', ['A-2', 'A-1']], // who takes their own back gives up the new one
  [['A-1', 'A-2'], 'A-1', ['A-2']],
];

test('a place that is pressed takes the place of another, and there are never more than before', () => {
  for (const [wish, id, then] of PRESSES) assert.deepEqual(pressed(own, wish, id), then, `${wish} + ${id}`);
});

test('standing places are taken one by one, though they share an id', () => {
  const standing = ['floor', 'floor', 'A-1'];
  assert.deepEqual(taken(standing, ['floor', 'floor', 'A-1'], 'balcony'), ['floor', 'A-1', 'balcony']);
  assert.deepEqual(taken(standing, ['floor', 'A-1', 'balcony'], 'balcony'), ['A-1', 'balcony', 'balcony']);
  assert.deepEqual(without(['floor', 'floor'], ['floor']), ['floor']);
});

test('what stays keeps its price, and what is new costs what it costs now', () => {
  const seats = [{ id: 'A-1', price: 100 }, { id: 'floor', price: 30 }, { id: 'floor', price: 20 }];
  const price = (id: string) => ({ 'B-1': 150, floor: 40, balcony: 60 })[id] ?? 0;
  assert.deepEqual(compared(seats, ['A-1', 'floor', 'floor'], price), { added: [], givenUp: [], costs: 0, paid: 0 });
  assert.deepEqual(compared(seats, ['B-1', 'floor', 'balcony'], price), { added: ['B-1', 'balcony'], givenUp: ['A-1', 'floor'], costs: 210, paid: 120 });
});

test('of another date as many are chosen as they have, whatever these are called', () => {
  assert.deepEqual(pressed([], [], 'A-1', 2), ['A-1']);
  assert.deepEqual(pressed([], ['A-1'], 'A-2', 2), ['A-1', 'A-2']);
  assert.deepEqual(pressed([], ['A-1', 'A-2'], 'B-1', 2), ['A-2', 'B-1'], 'what was chosen first leaves');
  assert.deepEqual(pressed([], ['A-1', 'A-2'], 'A-2', 2), ['A-1']);
  assert.deepEqual(taken([], ['floor', 'floor'], 'floor', 2), ['floor', 'floor']);
});

const standing = { payment: null, refunds: [] };

test('only what is theirs, and still to come, can be exchanged', () => {
  const schedule = { starts_at: '2026-12-24T10:30:00Z', cancelled_at: null };
  const [before, after] = [Date.parse(schedule.starts_at) - 1, Date.parse(schedule.starts_at)];
  for (const status of ['held', 'confirmed', 'partially_refunded']) {
    assert.ok(mayExchange({ ...standing, status, schedule }, before), status);
    assert.ok(!mayExchange({ ...standing, status, schedule }, after), status);
    assert.ok(!mayExchange({ ...standing, status, schedule: { ...schedule, cancelled_at: '2026-12-01T00:00:00Z' } }, before), status);
    assert.ok(!mayExchange({ ...standing, status, schedule: null }, before), status);
  }
  for (const status of ['expired', 'refunded', 'cancelled', 'transferred']) assert.ok(!mayExchange({ ...standing, status, schedule }, before), status);
  assert.ok(!mayExchange({ ...standing, status: 'held', payment: { status: 'pending' }, schedule }, before), 'money may be on its way');
});

test('the dates to choose from are their own, those on sale, and those whose seats are all taken', () => {
  const own = { schedule_id: 'own', schedule: { starts_at: '2026-12-24T10:30:00Z', time_zone: 'Asia/Seoul', venue_name: 'A house' } } as Booking;
  const date = (id: string, left: number | null, state = 'on_sale') => {
    const sale = { state, opens_at: null, closes_at: '2026-12-24T10:30:00Z' };
    return { id, sale, seats_left: left === null ? null : { VIP: left }, capacity: { VIP: 100 } } as unknown as Schedule;
  };
  const others = ['scheduled', 'closed', 'ended', 'cancelled'].map((state) => date(state, 5, state));
  const run = [date('own', 5), date('free', 50), date('few', 2), date('full', 0), date('uncounted', null), ...others];
  const found = possibleDates(own, run, Date.parse('2026-12-01T00:00:00Z'));
  assert.deepEqual(found.map(({ id, left }) => [id, left]), [['own', null], ['free', 50], ['few', 2], ['full', 0], ['uncounted', null]]);
  assert.deepEqual(possibleDates(own, run, Date.parse('2026-12-25T00:00:00Z')).map(({ id }) => id), ['own'], 'their sales have closed since');
});

test('a booking knows the holds that are to take the place of its seats, until the old ones are given back', () => {
  keepReplacing('new-1', { booking: 'old', seats: ['A-1'] });
  keepReplacing('new-2', { booking: 'another', seats: ['A-1'] });
  keepReplacing('new-3', { booking: 'old', seats: ['A-2'] });
  assert.deepEqual(replacementsOf('old'), ['new-1', 'new-3']);
  assert.deepEqual(replacingOf('new-3'), { booking: 'old', seats: ['A-2'] });
  forgetReplacing('new-1');
  assert.deepEqual(replacementsOf('old'), ['new-3']);
  assert.deepEqual(replacementsOf('new-3'), []);
  assert.equal(replacingOf('new-1'), null);
});

test('what came to nothing does not stay in the browser for ever, and nothing does when they log out', () => {
  for (let each = 1; each <= 30; each += 1) keepReplacing(`new-${each}`, { booking: 'old', seats: ['A-1'] });
  assert.equal(replacementsOf('old').length, 20);
  assert.deepEqual([replacingOf('new-10'), replacingOf('new-11')?.booking], [null, 'old'], 'the oldest leave');
  forgetKept();
  assert.deepEqual(replacementsOf('old'), []);
});

test('a booking that is only held for longer is what it was', () => {
  const held = { ...standing, status: 'held', seats: [{ id: 'A-1' }, { id: 'A-2' }] };
  assert.ok(isUnchanged(held, { ...held }));
  assert.ok(!isUnchanged(held, { ...held, status: 'expired' }));
  assert.ok(!isUnchanged(held, { ...held, payment: { status: 'pending' } }), 'nothing can be changed meanwhile');
  assert.ok(!isUnchanged(held, { ...held, seats: [{ id: 'A-1' }, { id: 'A-3' }] }));
  assert.ok(!isUnchanged(held, { ...held, seats: [{ id: 'A-1' }] }));
});

test('theirs are the seats they hold and those they have paid for, and no others that they had', () => {
  const all = ['held', 'confirmed', 'partially_refunded', 'refunded', 'cancelled', 'expired', 'transferred'];
  assert.deepEqual(all.filter((status) => isTheirs({ status })), ['held', 'confirmed', 'partially_refunded']);
});

test('a booking that was given back bit by bit has had more than the seats that it ends with', () => {
  const refund = (amount: number, fee: number, ...seats: string[]) => ({ amount, fee, seats });
  const ended = { status: 'refunded', seats: [{ id: 'A-2' }], amount: 55_000 };
  assert.deepEqual(wentBefore({ ...ended, refunds: [refund(50_000, 5_000, 'A-1'), refund(55_000, 0, 'A-2')] }), { count: 1, amount: 55_000 });
  assert.equal(wentBefore({ ...ended, refunds: [refund(55_000, 0, 'A-2')] }), null);
  assert.equal(wentBefore({ ...ended, status: 'partially_refunded', refunds: [refund(50_000, 5_000, 'A-1'), refund(1, 0, 'A-9')] }), null);
});
