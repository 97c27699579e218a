// Other seats for a paid booking: as many as before, and what they come to.
import assert from 'node:assert/strict';
import test from 'node:test';
import { compared, pressed, taken, without } from '../../../api/web/src/customer/exchange/swap.ts';
import { mayExchange } from '../../../api/web/src/customer/booking/state.ts';

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

test('only what is paid for and still to come can be exchanged', () => {
  const schedule = { starts_at: '2026-12-24T10:30:00Z', cancelled_at: null };
  const [before, after] = [Date.parse(schedule.starts_at) - 1, Date.parse(schedule.starts_at)];
  assert.ok(mayExchange({ status: 'confirmed', schedule }, before));
  assert.ok(mayExchange({ status: 'partially_refunded', schedule }, before));
  assert.ok(!mayExchange({ status: 'confirmed', schedule }, after));
  assert.ok(!mayExchange({ status: 'confirmed', schedule: { ...schedule, cancelled_at: '2026-12-01T00:00:00Z' } }, before));
  assert.ok(!mayExchange({ status: 'confirmed', schedule: null }, before));
  for (const status of ['held', 'expired', 'refunded', 'cancelled', 'transferred']) assert.ok(!mayExchange({ status, schedule }, before), status);
});
