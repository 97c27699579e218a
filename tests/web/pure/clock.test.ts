// The server's clock, from the `Date` of answers: right to a second from the first one on, and better with each.
import assert from 'node:assert/strict';
import test from 'node:test';
import { ServerClock } from '../../../api/web/src/api/clock.ts';

/** A world in which the server is `ahead` of our clock; gives the clock and a way to ask the server something. */
function world(ahead: number) {
  const state = { ours: 1_700_000_000_000, ahead };
  const clock = new ServerClock(() => state.ours);
  const ask = (sendingMs: number, answeringMs: number) => {
    const sent = state.ours;
    state.ours += sendingMs;
    const date = new Date(Math.floor((state.ours + state.ahead) / 1000) * 1000).toUTCString();
    state.ours += answeringMs;
    clock.heard(new Headers({ Date: date }), sent);
  };
  return { state, clock, ask, error: () => Math.abs(clock.now() - (state.ours + state.ahead)) };
}

for (const ahead of [-3_600_000, -1_234, 0, 777, 86_400_000]) {
  test(`a phone that is ${-ahead} ms ahead counts by the server's time`, () => {
    const { state, ask, error } = world(ahead);
    ask(30, 40);
    assert.ok(error() <= 1_000);
    for (let asked = 0; asked < 40; asked += 1) {
      state.ours += 337;
      ask(20, 25);
    }
    assert.ok(error() <= 100, `${error()} ms`);
  });
}

test('what a browser may have kept says when it was made, not what time it is', () => {
  const { clock, state, ask, error } = world(0);
  ask(10, 10);
  const longAgo = new Date(state.ours - 31_000_000_000).toUTCString();
  for (const kept of ['public, max-age=60', 'public, max-age=31536000, immutable']) {
    clock.heard(new Headers({ Date: longAgo, 'Cache-Control': kept }), state.ours);
    assert.ok(error() <= 1_000, kept);
  }
  for (const asked of ['no-store', 'no-cache', 'max-age=0, must-revalidate']) {
    const ahead = new Date(state.ours + 60_000).toUTCString();
    clock.heard(new Headers({ Date: ahead, 'Cache-Control': asked }), state.ours);
    assert.ok(clock.now() > state.ours + 50_000, asked);
    ask(10, 10);
  }
});

test('a phone whose clock is set meanwhile is believed no longer', () => {
  const { state, ask, error } = world(0);
  ask(10, 10);
  state.ours += 600_000;
  state.ahead -= 600_000;
  ask(10, 10);
  assert.ok(error() <= 1_000);
});

test('without any answer our own clock counts', () => {
  assert.equal(new ServerClock(() => 42).now(), 42);
  const clock = new ServerClock(() => 42);
  clock.heard(new Headers(), 40);
  clock.heard(new Headers({ Date: 'no date' }), 40);
  assert.equal(clock.now(), 42);
});
