import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reached, seatsInside, toggled } from '../../../../api/web/src/seats/house/choosing.ts';
import { Grid } from '../../../../api/web/src/seats/house/grid.ts';
import { PITCH } from '../../../../api/web/src/seats/house/layout.ts';
import { SOLD } from '../../../../api/web/src/seats/house/states.ts';
import { houseOf, statesOf } from './houses.ts';

const HOUSE = houseOf(['aaaa', 'aaaa', 'bbbb'], { zoneOfRow: [0, 0, 1] });
const GRID = new Grid(HOUSE);
const at = (column: number, row: number) => ({ x: column * PITCH, y: row * PITCH * 2 });
const box = (left: number, top: number, right: number, bottom: number) => [at(left, top), at(right, top), at(right, bottom), at(left, bottom)];

test('a line chooses the seats whose middle is inside of it, whichever way it was drawn', () => {
  const around = box(0.5, -0.5, 2.5, 1.5);
  assert.deepEqual(seatsInside(around, HOUSE, GRID), [1, 2, 5, 6]);
  assert.deepEqual(seatsInside(around.toReversed(), HOUSE, GRID), [1, 2, 5, 6]);
});

test('a line that is no area chooses nothing, one around the house all of it', () => {
  assert.deepEqual(seatsInside([at(0, 0), at(3, 2)], HOUSE, GRID), []);
  assert.deepEqual(seatsInside(box(-1, -1, 9, 9), HOUSE, GRID), [...HOUSE.ids.keys()]);
});

test('a line that turns inwards leaves out what it goes around', () => {
  const horseshoe = [at(-1, -1), at(9, -1), at(9, 0.5), at(0.5, 0.5), at(0.5, 1.5), at(9, 1.5), at(9, 9), at(-1, 9)];
  assert.deepEqual(seatsInside(horseshoe, HOUSE, GRID), [0, 1, 2, 3, 4, 8, 9, 10, 11]);
});

test('a press reaches a seat, its row or its section', () => {
  assert.deepEqual(reached(5, 'seat', HOUSE), [5]);
  assert.deepEqual(reached(5, 'row', HOUSE), [4, 5, 6, 7]);
  assert.deepEqual(reached(5, 'section', HOUSE), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('what is chosen as a whole is given up, anything else is added', () => {
  const chosen = new Set([0, 1]);
  assert.deepEqual([...toggled(chosen, [0, 1])], []);
  assert.deepEqual([...toggled(chosen, [1, 2])], [0, 1, 2]);
  assert.deepEqual([...chosen], [0, 1]);
});

test('a house is shown as it was at any moment, earlier ones too, and counts what is free in it', () => {
  const states = statesOf(HOUSE, '.... .... ....', 7);
  const sold = Uint8Array.from({ length: HOUSE.size }, (_, seat) => (seat < 3 ? SOLD : 0));
  assert.deepEqual(states.show({ version: 3, seats: sold, areas: [] }), { seats: [0, 1, 2], areas: true });
  assert.equal(states.version, 3);
  assert.equal(states.free(() => true, 0), 5);
});

test('until anything is known, everything is free, standing room too', () => {
  const house = houseOf(['aa'], { standing: 30 });
  assert.equal(statesOf(house, '..', 0, [[30, 0, 0, 0]]).free(() => true), 32);
});
