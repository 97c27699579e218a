// An organizer's figures: what is counted off the house, what was sold over time, and many seats in few words.
import assert from 'node:assert/strict';
import test from 'node:test';
import { rowsOf } from '../../../api/web/src/organizer/live/blocks/places.ts';
import { type Row, columnsOf, merged, pointsOf } from '../../../api/web/src/organizer/live/sale/curve.ts';
import { inAll, tallied } from '../../../api/web/src/organizer/live/sale/tally.ts';
import { houseOf, statesOf } from './seats/houses.ts';

const row = (minute: number, category: string, figures: Partial<Row>): Row => ({
  at: `2026-11-26T10:${String(minute).padStart(2, '0')}:00.000+00:00`,
  category,
  sold: 0,
  refunded: 0,
  revenue: 0,
  fees: 0,
  ...figures,
});

test('places are counted by category and state, standing room with seats', () => {
  const house = houseOf(['aab', 'bb'], { standing: 10 });
  const states = statesOf(house, 'hs. b.', 3, [[4, 3, 2, 1]]);
  const tallies = tallied(house, states, () => true);
  assert.deepEqual(tallies[0], { name: 'A', capacity: 2, free: 0, held: 1, sold: 1, blocked: 0 });
  assert.deepEqual(tallies[1], { name: 'B', capacity: 3, free: 2, held: 0, sold: 0, blocked: 1 });
  assert.deepEqual(tallies[2], { name: 'C', capacity: 10, free: 4, held: 3, sold: 2, blocked: 1 });
  assert.deepEqual(inAll(tallies, 'all'), { name: 'all', capacity: 15, free: 6, held: 4, sold: 3, blocked: 2 });
});

test('what is not for sale is none of the sale, but for what somebody has of it', () => {
  const house = houseOf(['aab', 'bb'], { standing: 10 });
  const tallies = tallied(house, statesOf(house, 'hs. b.', 3, [[10, 0, 0, 0]]), (category) => category === 0);
  assert.deepEqual(tallies[0], { name: 'A', capacity: 2, free: 0, held: 1, sold: 1, blocked: 0 });
  assert.deepEqual(tallies[1], { name: 'B', capacity: 1, free: 0, held: 0, sold: 0, blocked: 1 });
  assert.deepEqual(tallies[2], { name: 'C', capacity: 0, free: 0, held: 0, sold: 0, blocked: 0 });
});

test('points add categories up, and the last one comes to what is sold now', () => {
  const rows = [row(1, 'A', { sold: 3, revenue: 300 }), row(1, 'B', { sold: 2, revenue: 100 }), row(2, 'A', { refunded: 1, revenue: -100, fees: 10 })];
  assert.deepEqual(pointsOf(rows, 104), [
    { at: row(1, 'A', {}).at, sold: 5, refunded: 0, inAll: 105, taken: 400 },
    { at: row(2, 'A', {}).at, sold: 0, refunded: 1, inAll: 104, taken: -90 },
  ]);
});

test('times in which seats were only held are no points', () => {
  assert.deepEqual(pointsOf([row(1, 'A', {})], 0), []);
});

test('rows that are asked for again from a moment on take the place of those that were there', () => {
  const before = [row(1, 'A', { sold: 1 }), row(2, 'A', { sold: 1 })];
  const fresh = [row(2, 'A', { sold: 5 }), row(3, 'A', { sold: 1 })];
  assert.deepEqual(merged(before, fresh, row(2, 'A', {}).at), [before[0], ...fresh]);
  assert.deepEqual(merged(before, fresh, null), fresh);
});

test('the plot has the points, a level before them and one after', () => {
  const points = pointsOf([row(1, 'A', { sold: 2 })], 7);
  const began = Date.parse(row(1, 'A', {}).at) / 1000;
  assert.deepEqual(columnsOf(points, 5, (began + 600) * 1000, 'minute'), [
    [began - 60, began, began + 600],
    [null, 2, null],
    [5, 7, 7],
  ]);
  assert.deepEqual(columnsOf([], 0, 0, 'minute'), [[], [], []]);
});

test('seats that follow one another are a range, by the numbers of the plan', () => {
  const house = houseOf(['aaaaaa', 'aaaa'], { zoneOfRow: [0, 1] });
  const told = rowsOf(house, [9, 0, 1, 2, 3, 5, 7, 8]);
  assert.deepEqual(told.map(({ zone, row: label, numbers }) => `${zone} ${label}: ${numbers}`), ['Zone 0 1: 1–4, 6', 'Zone 1 2: 2–4']);
});

test('two seats side by side are named, not spanned', () => {
  assert.deepEqual(rowsOf(houseOf(['aaaa']), [1, 2]).map(({ numbers }) => numbers), ['2, 3']);
});
