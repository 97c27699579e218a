// Standing in line: whatever breaks on the way, the place stays, and what is shown is what the server said last.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Problem, offline } from '../../../api/web/src/api/problem.ts';
import type { Place } from '../../../api/web/src/customer/queue/passes.ts';
import { Line, type Source, type Standing, type Told, UNKNOWN } from '../../../api/web/src/customer/queue/line.ts';
import { shownOf, spokenWait } from '../../../api/web/src/customer/queue/shown.ts';
import { en } from '../../../api/web/src/words/queue/en.ts';
import { ko } from '../../../api/web/src/words/queue/ko.ts';

const OPENS = '2026-12-01T05:00:00.000+00:00';
const at = (seconds: number) => Date.parse(OPENS) + seconds * 1000;

function place(ahead: number | null, more: Partial<Place> = {}): Place {
  const position = ahead === null ? null : ahead + 1;
  return {
    ticket: 't', schedule_id: 's', status: 'waiting', position, ahead, waiting: 9, estimated_wait_seconds: ahead, look_again_seconds: 7,
    opens_at: OPENS, pass: null, pass_expires_at: null, ...more,
  };
}

const ADMITTED = place(null, { status: 'admitted', pass: 'p', pass_expires_at: '2026-12-01T05:10:00.000+00:00' });
const problem = (code: string, status: number, retryAfter: number | null = null) => new Problem({ code, status, title: code, detail: '' }, retryAfter);
const BUSY = problem('overloaded', 503, 2);
const tells = (...places: Place[]): Told[] => places.map((each) => ({ kind: 'place', place: each }));

/** A server that answers each request as the test has said, in order; and the line of somebody who asks it. */
class Server implements Source {
  readonly requests: string[] = [];
  readonly waits: number[] = [];
  readonly told: Standing[] = [];
  readonly passed: Standing[] = [];
  readonly ending = new AbortController();
  readonly line = new Line(this, (standing) => this.told.push(standing), (standing) => this.passed.push(standing));
  joins: (Place | Problem)[] = [];
  looks: (Place | Problem)[] = [];
  /** What each stream tells, and how it ends: with an error of the browser's where the connection breaks. */
  streams: (Told | Problem | Error)[][] = [];

  join = () => this.#answer('join', this.joins.shift());
  look = (ticket: string) => this.#answer(`look ${ticket}`, this.looks.shift());
  leave = ({ ticket }: Place) => (this.requests.push(`leave ${ticket}`), Promise.resolve());

  follow(ticket: string): Promise<AsyncIterable<Told>> {
    this.requests.push(`follow ${ticket}`);
    const stream = this.streams.shift();
    if (stream === undefined) this.ending.abort();
    const [first] = stream ?? [];
    if (first instanceof Problem) return Promise.reject(first);
    async function* telling(): AsyncIterable<Told> {
      for (const each of stream ?? []) {
        if (each instanceof Error) throw each;
        yield each;
      }
    }
    return Promise.resolve(telling());
  }

  wait = (milliseconds: number) => (this.waits.push(milliseconds), Promise.resolve());

  async stands(): Promise<void> {
    await this.line.join();
    await this.line.follow(this.ending.signal);
  }

  #answer(request: string, answer: Place | Problem | undefined): Promise<Place> {
    this.requests.push(request);
    if (answer === undefined) this.ending.abort();
    return answer instanceof Problem ? Promise.reject(answer) : Promise.resolve(answer ?? place(null));
  }
}

test('a place is joined once, followed, and done with when one is let in', async () => {
  const server = new Server();
  server.joins = [place(2)];
  server.streams = [[...tells(place(1), place(0)), ...tells(ADMITTED)]];
  await server.stands();
  assert.deepEqual(server.told.map((each) => each.place?.ahead), [2, 1, 0, null]);
  assert.deepEqual(server.requests, ['join', 'follow t']);
  assert.ok(server.line.isDone);
  assert.deepEqual(server.passed, server.told);
});

test('a stream that ends is asked for again in a moment, with the newest ticket', async () => {
  const server = new Server();
  server.joins = [place(5)];
  server.streams = [tells(place(4, { ticket: 'u' })), [], tells(ADMITTED)];
  await server.stands();
  assert.deepEqual(server.requests, ['join', 'follow t', 'follow u', 'follow u']);
  assert.ok(server.waits.length === 2 && server.waits.every((milliseconds) => milliseconds >= 2_000));
});

test('a connection that breaks is told, keeps the place, and is forgotten with the next news', async () => {
  const server = new Server();
  server.joins = [place(5)];
  server.streams = [[...tells(place(4)), new TypeError('network error')], [offline()], tells(place(3)), tells(ADMITTED)];
  await server.stands();
  const story = server.told.map(({ place: of, interrupted }) => [of?.ahead, interrupted?.code]);
  assert.deepEqual(story, [[5, undefined], [4, undefined], [4, 'offline'], [4, 'offline'], [3, undefined], [null, undefined]]);
});

test('a server that cannot say where one stands is told as one, and asked again when it says', async () => {
  const server = new Server();
  server.joins = [BUSY, place(5)];
  server.streams = [[{ kind: 'interrupted', problem: BUSY }, ...tells(place(4))], tells(ADMITTED)];
  await server.stands();
  const story = server.told.map(({ place: of, interrupted }) => [of?.ahead, interrupted?.code]);
  assert.deepEqual(story, [[undefined, 'overloaded'], [5, undefined], [5, 'overloaded'], [4, undefined], [null, undefined]]);
  assert.deepEqual(server.requests, ['join', 'join', 'follow t', 'follow t']);
});

test('where there is no room for a stream one looks, at the pace that is asked for', async () => {
  const server = new Server();
  server.joins = [place(5)];
  server.streams = [[BUSY]];
  server.looks = [place(3), ADMITTED];
  await server.stands();
  assert.deepEqual(server.requests, ['join', 'follow t', 'look t', 'look t']);
  assert.ok((server.waits[1] ?? 0) >= 7_000);
  assert.ok(server.line.isDone);
});

for (const [code, status] of [['queue_turn_over', 410], ['sale_closed', 409], ['schedule_cancelled', 409], ['schedule_not_found', 404], ['forbidden', 403]] as const) {
  test(`nothing is waited for any more after ${code}, told by the stream or by an answer`, async () => {
    for (const inStream of [true, false]) {
      const server = new Server();
      server.joins = [place(5)];
      server.streams = [inStream ? [{ kind: 'over', problem: problem(code, status) }] : [problem(code, status)]];
      await server.stands();
      const { end } = server.line.standing;
      assert.ok(end !== null && end !== 'left');
      assert.equal(end.code, code);
      assert.ok(server.line.isDone);
    }
  });
}

test('a ticket that is not known any more is joined again, which gives the place that there is', async () => {
  const server = new Server();
  server.joins = [place(5), place(4, { ticket: 'u' })];
  server.streams = [[problem('ticket_not_found', 404)], tells(ADMITTED)];
  await server.stands();
  assert.deepEqual(server.requests, ['join', 'follow t', 'join', 'follow u']);
});

test('who leaves is out at once, whatever the stream says of it, and may join again', async () => {
  const server = new Server();
  server.joins = [place(5), place(8)];
  await server.line.join();
  await server.line.leave();
  server.streams = [[{ kind: 'over', problem: problem('queue_turn_over', 410) }]];
  await server.line.follow(server.ending.signal);
  assert.equal(server.line.standing.end, 'left');
  await server.line.joinAnew();
  assert.equal(server.line.standing.place?.ahead, 8);
  assert.deepEqual(server.requests, ['join', 'leave t', 'join']);
});

test('what another tab tells is known here, and not passed on', () => {
  const server = new Server();
  server.line.hear({ ...UNKNOWN, place: ADMITTED });
  assert.ok(server.line.isDone);
  assert.deepEqual(server.passed, []);
});

const standing = (known: Partial<Standing>): Standing => ({ ...UNKNOWN, ...known });
const ended = (code: string) => standing({ end: problem(code, 409).document });
for (const [shown, of, seconds] of [
  ['joining', UNKNOWN, 0],
  ['joining', standing({ interrupted: BUSY.document }), 0],
  ['before', standing({ place: place(null) }), -1],
  ['drawing', standing({ place: place(null) }), 0],
  ['drawing', standing({ place: place(null, { opens_at: null }) }), -1],
  ['waiting', standing({ place: place(0) }), 3],
  ['waiting', standing({ place: place(4), interrupted: BUSY.document }), 3],
  ['admitted', standing({ place: ADMITTED }), 599],
  ['over', standing({ place: ADMITTED }), 600],
  ['admitted', standing({ place: place(null, { status: 'admitted' }) }), 9_999],
  ['left', standing({ end: 'left' }), 0],
  ['over', ended('queue_turn_over'), 0],
  ['closed', ended('sale_closed'), 0],
  ['cancelled', ended('schedule_cancelled'), 0],
  ['unknown', ended('schedule_not_found'), 0],
  ['refused', ended('forbidden'), 0],
] as const) {
  test(`${shown} is shown of ${JSON.stringify(of)} at ${seconds} s`, () => assert.equal(shownOf(of, at(seconds)), shown));
}

test('a wait is said as people say it, and never as less than it is', () => {
  const said = (seconds: number) => {
    const { unit, count } = spokenWait(seconds);
    return en.wait[unit](count);
  };
  const sentences = { 0: 'about a minute', 59: 'about a minute', 61: 'about 2 minutes', 599: 'about 10 minutes', 661: 'about 15 minutes', 7_200: 'about 2 hours', 36_000: 'about 10 hours' };
  for (const [seconds, sentence] of Object.entries(sentences)) assert.equal(said(Number(seconds)), sentence);
  for (let seconds = 0; seconds < 7_000; seconds += 37) assert.ok(spokenWait(seconds).count * 60 >= seconds);
});

test('a refusal for want of a pass, or of a turn, leads to the waiting room, and no other does', () => {
  const refused = (facts: object) => new Problem({ code: 'c', status: 403, title: '', detail: '', ...facts }).waitingRoom;
  assert.equal(refused({ queue_url: '/v1/schedules/0199/queue' }), '/s/0199/queue');
  assert.equal(refused({}), null);
});

test('both languages have every word of the waiting room', () => {
  assert.deepEqual(Object.keys(ko).sort(), Object.keys(en).sort());
  assert.match(ko.ahead(1_840), /1,840명/);
});
