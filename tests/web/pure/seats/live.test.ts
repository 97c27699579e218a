// Following a house: from its states by the stream, over gaps, refusals and ends, without ever going back.
import assert from 'node:assert/strict';
import test from 'node:test';
import { HELD, SOLD, type Snapshot } from '../../../../api/web/src/seats/house/states.ts';
import { EventReader } from '../../../../api/web/src/seats/live/events.ts';
import { Live, type News, type Opened, type Source } from '../../../../api/web/src/seats/live/live.ts';
import { houseOf, snapshotOf, statesOf } from './houses.ts';

test('events are read whatever pieces they come in', () => {
  const text = 'retry: 2000\n\n: ping\n\nevent: seats\r\nid: 7\r\ndata: {"a":\ndata: 1}\n\nid:8\ndata:x\n\n';
  for (let size = 1; size < 20; size += 1) {
    const reader = new EventReader();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...reader.take(text.slice(at, at + size).replaceAll('\r', '')));
    assert.deepEqual(events, [
      { event: 'seats', id: '7', data: '{"a":\n1}' },
      { event: 'message', id: '8', data: 'x' },
    ]);
  }
});

const HOUSE = houseOf(['aaaa']);

/** A server whose stream a test writes into. */
class World implements Source {
  newest: Snapshot = snapshotOf('....', 1);
  reads = 0;
  readonly opened: number[] = [];
  readonly waits: number[] = [];
  readonly passed: News[] = [];
  readonly changed: number[] = [];
  refusals: (number | null)[] = [];
  away = 0;
  #send: ((piece: string | null) => void) | null = null;
  readonly states = statesOf(HOUSE, '....', 1);
  readonly live = new Live(this.states, this, ({ seats }) => this.changed.push(...seats), (news) => this.passed.push(news));

  read(): Promise<Snapshot> {
    this.reads += 1;
    return Promise.resolve(this.newest);
  }

  fits(layout: string): boolean {
    return layout === 'this one';
  }

  open(after: number, signal: AbortSignal): Promise<Opened> {
    this.opened.push(after);
    if (this.away-- > 0) return Promise.reject(new TypeError('no connection'));
    const refused = this.refusals.shift();
    if (refused !== undefined) return Promise.resolve({ retryAfterSeconds: refused });
    const waiting: (string | null)[] = [];
    let wake = () => {};
    this.#send = (piece) => (waiting.push(piece), wake());
    signal.addEventListener('abort', () => this.#send?.(null));
    async function* pieces() {
      for (;;) {
        while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        const piece = waiting.shift();
        if (piece === null || piece === undefined) return;
        yield piece;
      }
    }
    return Promise.resolve({ pieces: pieces() });
  }

  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    this.waits.push(milliseconds);
    await settled();
    if (signal.aborted) throw new Error('aborted');
  }

  async send(event: string, of: object): Promise<void> {
    this.#send?.(`event: ${event}\nid: 1\ndata: ${JSON.stringify(of)}\n\n`);
    await settled();
  }

  async cut(): Promise<void> {
    this.#send?.(null);
    await settled();
    await settled();
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 1));

test('the stream goes on from the version of the states, and what it tells is passed on', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  await world.send('seats', { from: 1, version: 2, seats: [[2, HELD]], areas: [] });
  assert.deepEqual([world.opened, world.changed, world.states.version, world.live.status], [[1], [2], 2, 'live']);
  assert.equal(world.passed.length, 1);
  world.live.pause();
});

test('after a gap all states are read, and nothing in between is shown', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  world.newest = snapshotOf('hs..', 9);
  await world.send('seats', { from: 8, version: 9, seats: [[1, SOLD]], areas: [] });
  await settled();
  assert.deepEqual([world.reads, world.states.version, [...world.states.seats]], [1, 9, [HELD, SOLD, 0, 0]]);
  world.live.pause();
});

test('a stream that begins anew brings all states by itself', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  await world.send('snapshot', snapshotOf('..ss', 40));
  assert.deepEqual([world.reads, world.states.version, world.changed], [0, 40, [2, 3]]);
  world.live.pause();
});

test('a cut stream is opened again from where it was', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  await world.send('seats', { from: 1, version: 5, seats: [[0, HELD]], areas: [] });
  await world.cut();
  assert.deepEqual(world.opened, [1, 5]);
  world.live.pause();
});

test('no connection is tried again', async () => {
  const world = new World();
  world.away = 2;
  world.live.resume();
  while (world.opened.length < 3) await settled();
  await settled();
  assert.equal(world.live.status, 'live');
  world.live.pause();
});

test('where no stream can be had the states are read as often as the server says, until one can', async () => {
  const world = new World();
  world.refusals = [7, null];
  world.newest = snapshotOf('h...', 3);
  world.live.resume();
  await settled();
  assert.deepEqual([world.live.status, world.states.version], ['polling', 3]);
  while (world.opened.length < 3) await settled();
  assert.equal(world.live.status, 'live');
  assert.ok((world.waits[0] ?? 0) >= 7_000 && (world.waits[1] ?? 0) >= 5_000);
  assert.deepEqual(world.opened, [1, 3, 3]);
  world.live.pause();
});

test('a pause closes the stream, and going on begins at the version that is here', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  world.live.pause();
  await settled();
  assert.equal(world.live.status, 'away');
  world.live.hear({ kind: 'delta', of: { from: 1, version: 6, seats: [[3, HELD]], areas: [] } });
  world.live.resume();
  await settled();
  assert.deepEqual(world.opened, [1, 6]);
  world.live.pause();
});

test('who looks is told that there is no connection, until there is one again', async () => {
  const world = new World();
  world.away = 1;
  world.live.resume();
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(world.live.status, 'lost');
  await settled();
  await settled();
  assert.equal(world.live.status, 'live');
  world.live.pause();
});

test('new terms have the states read again, and a house whose plan was corrected is followed no further', async () => {
  const world = new World();
  world.live.resume();
  await settled();
  await world.send('terms', { terms: 'dearer', layout: 'this one' });
  assert.equal(world.reads, 1);
  assert.equal(world.live.status, 'live');
  await world.send('terms', { terms: 'dearer', layout: 'another' });
  assert.equal(world.live.status, 'away');
  const version = world.states.version;
  world.newest = snapshotOf('X...', 9);
  await world.send('snapshot', { ...world.newest });
  assert.equal(world.states.version, version);
});
