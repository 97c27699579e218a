// Layout, states, grid and camera: what is decoded is what was sent, and versions never go back.
import assert from 'node:assert/strict';
import test from 'node:test';
import { centred, fit, levelOf, scaleLimits, seen, toHouse, toScreen, zoomed } from '../../../../api/web/src/seats/house/camera.ts';
import { Grid } from '../../../../api/web/src/seats/house/grid.ts';
import { PITCH } from '../../../../api/web/src/seats/house/layout.ts';
import { HELD, SOLD, States, unpacked } from '../../../../api/web/src/seats/house/states.ts';
import { houseOf, snapshotOf, statesOf } from './houses.ts';

const HOUSE = houseOf(['aaa aaa', 'bbbbbb'], { zoneOfRow: [0, 1], standing: 50 });

test('a layout gives every seat its place, its row and its run', () => {
  assert.equal(HOUSE.size, 12);
  assert.deepEqual([HOUSE.x[3], HOUSE.y[3]], [4 * PITCH, 0]);
  assert.deepEqual([HOUSE.x[11], HOUSE.y[11]], [5 * PITCH, 2 * PITCH]);
  assert.deepEqual([...HOUSE.rowOf], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
  assert.deepEqual([...HOUSE.runOf], [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
  assert.equal(HOUSE.seatOf.get('2-6'), 11);
  assert.deepEqual(HOUSE.zones.map(({ first, count, areas }) => [first, count, areas.length]), [[0, 6, 0], [6, 6, 0], [0, 0, 1]]);
});

test('two bits a seat are unpacked in order, the last byte half full', () => {
  assert.deepEqual([...unpacked(snapshotOf('.hsb.h', 1).seats, 6)], [0, 1, 2, 3, 0, 1]);
});

test('a change that follows is applied, counted and told', () => {
  const states = statesOf(HOUSE, '............', 5, [[50, 0, 0, 0]]);
  const changed = states.apply({ from: 5, version: 7, seats: [[0, HELD], [6, SOLD], [7, 0]], areas: [[0, [48, 2, 0, 0]]] });
  assert.deepEqual(changed, { seats: [0, 6], areas: true });
  assert.equal(states.version, 7);
  assert.equal(states.free(() => true), 5 + 5 + 48);
  assert.equal(states.free((category) => category === 0), 5);
  assert.equal(states.free(() => true, 1), 5);
  assert.equal(states.freeInArea(0), 48);
});

test('a change from an earlier version than ours is taken, because states are absolute', () => {
  const states = statesOf(HOUSE, 'h...........', 5, [[50, 0, 0, 0]]);
  assert.deepEqual(states.apply({ from: 3, version: 6, seats: [[0, HELD], [1, HELD]], areas: [] })?.seats, [1]);
});

test('a gap is told and nothing is taken; what is known already changes nothing', () => {
  const states = statesOf(HOUSE, '............', 5, [[50, 0, 0, 0]]);
  assert.equal(states.apply({ from: 6, version: 7, seats: [[0, HELD]], areas: [] }), null);
  assert.deepEqual([states.version, states.isFree(0)], [5, true]);
  assert.deepEqual(states.apply({ from: 3, version: 5, seats: [[0, HELD]], areas: [] }), { seats: [], areas: false });
  assert.equal(states.isFree(0), true);
});

test('an older snapshot never takes the place of a newer one', () => {
  const states = statesOf(HOUSE, 'hhhhhhhhhhhh', 5, [[50, 0, 0, 0]]);
  assert.equal(states.replace(snapshotOf('............', 4)), null);
  assert.equal(states.free(() => true, 0), 0);
});

test('counts by change are those of the states as a whole, whatever happens', () => {
  const one = new States(HOUSE);
  one.replace(snapshotOf('............', 1, [[50, 0, 0, 0]]));
  let text = '............';
  let seed = 7;
  const roll = (below: number) => (seed = (seed * 16807) % 2147483647) % below;
  for (let version = 2; version < 200; version += 1) {
    const [seat, state, left] = [roll(12), roll(4), roll(51)];
    text = text.slice(0, seat) + '.hsb'[state] + text.slice(seat + 1);
    one.apply({ from: version - 1, version, seats: [[seat, state]], areas: [[0, [left, 50 - left, 0, 0]]] });
    const other = statesOf(HOUSE, text, version, [[left, 50 - left, 0, 0]]);
    for (const zone of [0, 1, 2]) for (const category of [0, 1, 2]) {
      assert.equal(one.free((each) => each === category, zone), other.free((each) => each === category, zone));
    }
  }
});

test('a pointer finds the nearest seat within its reach, as looking at all of them would', () => {
  const house = houseOf(Array.from({ length: 40 }, () => 'a'.repeat(60)));
  const grid = new Grid(house);
  let seed = 3;
  const roll = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let tries = 0; tries < 300; tries += 1) {
    const [x, y, reach] = [roll() * 1700 - 100, roll() * 2200 - 100, roll() * 60];
    const far = (seat: number) => Math.hypot((house.x[seat] ?? 0) - x, (house.y[seat] ?? 0) - y);
    const best = Array.from({ length: house.size }, (_, seat) => seat).reduce((a, b) => (far(b) < far(a) ? b : a));
    const found = grid.nearest(x, y, reach);
    if (far(best) > reach) assert.equal(found, null);
    else assert.equal(far(found ?? -1), far(best));
  }
});

test('every seat of a part of the house is visited, once', () => {
  const house = houseOf(Array.from({ length: 20 }, () => 'a'.repeat(30)));
  const visited: number[] = [];
  const box = { left: 100, top: 100, right: 400, bottom: 500 };
  new Grid(house).within(box, (seat) => visited.push(seat));
  assert.equal(new Set(visited).size, visited.length);
  for (let seat = 0; seat < house.size; seat += 1) {
    const [x, y] = [house.x[seat] ?? 0, house.y[seat] ?? 0];
    if (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom) assert.ok(visited.includes(seat));
  }
});

const VIEW = { width: 390, height: 500 };

test('what is fitted is seen as a whole, in the middle', () => {
  const box = { left: 100, top: 200, right: 3000, bottom: 900 };
  const camera = fit(box, VIEW);
  const part = seen(camera, VIEW);
  assert.ok(part.left <= box.left && part.top <= box.top && part.right >= box.right && part.bottom >= box.bottom);
  assert.deepEqual(toScreen(camera, { x: 1550, y: 550 }), { x: 195, y: 250 });
  assert.equal(levelOf(camera), 'house');
});

test('a few seats are not blown up to fill the screen', () => {
  assert.equal(fit({ left: 0, top: 0, right: 10, bottom: 10 }, VIEW).scale * PITCH, 60);
});

test('zooming leaves what is under the pointer where it is, and stays within the limits', () => {
  const house = { left: 0, top: 0, right: 7000, bottom: 5000 };
  const limits = scaleLimits(house, VIEW);
  let camera = fit(house, VIEW);
  const at = { x: 120, y: 333 };
  const before = toHouse(camera, at);
  for (let times = 0; times < 20; times += 1) camera = zoomed(camera, 1.7, at, limits);
  const after = toHouse(camera, at);
  assert.ok(Math.hypot(after.x - before.x, after.y - before.y) < 0.001);
  assert.equal(camera.scale, limits[1]);
  for (let times = 0; times < 30; times += 1) camera = zoomed(camera, 0.5, at, limits);
  assert.equal(camera.scale, limits[0]);
});

test('the same camera says what is seen and where it is drawn', () => {
  const camera = centred({ x: 500, y: 300 }, 0.8, VIEW);
  const part = seen(camera, VIEW);
  assert.deepEqual(toScreen(camera, { x: part.left, y: part.top }), { x: 0, y: 0 });
});
