// Where a sale stands, as readers are told: what the API says, what the clock says, and when only few places are left.
import assert from 'node:assert/strict';
import test from 'node:test';
import { areFew, saleOf, saleOfAll } from '../../../api/web/src/customer/finding/sale.ts';

const NOW = Date.parse('2026-12-01T05:00:00.000+00:00');
const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();
const date = (left: number | null, of = 200, sale: object = {}) => ({
  sale: { state: 'on_sale', opens_at: null, closes_at: at(60), ...sale },
  seats_left: left === null ? null : { R: left, Standing: 0 },
  capacity: left === null ? null : { R: of - 10, Standing: 10 },
});

for (const [capacity, few] of [[15_000, 300], [3_022, 300], [2_000, 200], [200, 20], [50, 5], [40, 4], [20, 4], [8, 4], [6, 3], [2, 1], [1, 0]] as const) {
  test(`of ${capacity} places ${few} are few, and more are not`, () => {
    assert.equal(areFew(few, capacity), few > 0);
    assert.equal(areFew(few + 1, capacity), false);
  });
}

test('of whatever size a house is: it is never nearly sold out from the first moment, and stays so until it is sold out', () => {
  for (let capacity = 1; capacity < 4_000; capacity += 1) {
    assert.equal(areFew(capacity, capacity), false, `${capacity}`);
    assert.equal(areFew(0, capacity), false, 'none is not few');
    const told = Array.from({ length: Math.min(capacity, 400) }, (_, less) => areFew(less + 1, capacity));
    assert.deepEqual(told, told.toSorted().toReversed(), `${capacity}: few, then many, then few again`);
  }
});

for (const [state, of, because] of [
  ['on_sale', date(200), 'all of it is left'],
  ['on_sale', date(21), 'more than a tenth is left'],
  ['few_left', date(20), 'a tenth is left, of all categories together'],
  ['on_sale', date(301, 15_000), 'three hundred need not hurry'],
  ['sold_out', date(0), 'nothing is left'],
  ['sold_out', { ...date(0), capacity: { R: 0 } }, 'all of it is blocked, or nothing has a price'],
  ['on_sale', date(null), 'nobody could count'],
  ['closed', date(1, 200, { closes_at: at(0) }), 'its time has come'],
  ['few_left', date(1, 200, { state: 'scheduled', opens_at: at(0) }), 'it has opened'],
  ['scheduled', date(1, 200, { state: 'scheduled', opens_at: at(1) }), 'it opens in a moment'],
  ['cancelled', date(1, 200, { state: 'cancelled' }), 'it is cancelled'],
] as const) {
  test(`a date is ${state} where ${because}`, () => assert.equal(saleOf(of, NOW), state));
}

const run = (left: number | null, of: number | null, state: 'on_sale' | 'sold_out' | 'closed' = 'on_sale') => ({
  sale: { state, opens_at: null },
  seats_left: left,
  capacity_on_sale: of,
});

test('all dates together are few where a tenth of what is on sale is left', () => {
  assert.equal(saleOfAll(run(80, 800)), 'few_left');
  assert.equal(saleOfAll(run(81, 800)), 'on_sale');
  assert.equal(saleOfAll(run(null, null)), 'on_sale');
  assert.equal(saleOfAll(run(0, 800, 'sold_out')), 'sold_out');
  assert.equal(saleOfAll(run(0, 0, 'closed')), 'closed');
  assert.equal(saleOfAll({ ...run(0, 0), sale: null }), 'none');
});
