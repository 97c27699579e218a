// A scan's way to the server: what it is sent in, what becomes of it whatever happens here and there, and what is left in the browser.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Admitted, News } from '../../../api/web/src/door/offline.ts';
import { type Scan, Scans, type State } from '../../../api/web/src/door/scans.ts';
import { StoredDoor } from '../../../api/web/src/door/stored.ts';

const BOOKING = '01980000-0000-7000-8000-00000000000b';
const SCHEDULE = '01980000-0000-7000-8000-00000000000a';
const OTHER = '01980000-0000-7000-8000-00000000000c';
const TWO_IN: Admitted = { bookingId: BOOKING, places: 2, place: null };

/** The browser's storage, with room for so many entries. */
class Room implements Storage {
  readonly #held = new Map<string, string>();
  readonly #most: number;
  constructor(most: number) {
    this.#most = most;
  }
  get length(): number {
    return this.#held.size;
  }
  key = (index: number) => [...this.#held.keys()][index] ?? null;
  getItem = (key: string) => this.#held.get(key) ?? null;
  removeItem = (key: string) => void this.#held.delete(key);
  clear = () => this.#held.clear();
  setItem(key: string, value: string): void {
    if (this.#held.size >= this.#most && !this.#held.has(key)) throw new DOMException('', 'QuotaExceededError');
    this.#held.set(key, value);
  }
}
const scan = (id: string, at = '2026-11-26T19:00:00.000Z'): Scan => ({ id, code: 'a ticket', places: null, gate: 'North', at });
const news = (id: string): News => ({ id, bookingId: BOOKING, entered: 1, place: null });
const ids = (scans: readonly Scan[]) => scans.map(({ id }) => id);

type Answer = boolean | Error;
const SILENCE = new Error('no answer');

/** The scans of a tab at the door, and a server that takes what it is asked about, refuses it or does not answer. */
class Tab {
  readonly stored: StoredDoor;
  readonly scans: Scans;
  /** What was asked about, batch by batch; what went without time and gate has an apostrophe. */
  readonly batches: string[] = [];
  changes = 0;
  #sending: Promise<void> | null = null;
  #silent = false;
  #answer: (answer: Answer) => void = () => undefined;

  constructor(room: Room, ...read: string[]) {
    this.stored = new StoredDoor(SCHEDULE, room);
    this.scans = new Scans(this.stored, () => (this.changes += 1));
    for (const id of read) this.scans.read(scan(id));
  }

  /** Asks about all that waits, and leaves it at that until `answer` says what all of it is answered. */
  ask(): void {
    if (this.#sending !== null) return;
    const answer = new Promise<Answer>((resolve) => (this.#answer = resolve));
    this.#sending = this.send(() => answer);
  }

  async answer(answer: Answer): Promise<void> {
    this.ask();
    this.#answer(answer);
    await this.#sending;
    this.#sending = null;
  }

  /** Sends all that waits; what the server takes is over. */
  async send(answerTo: (batch: readonly Scan[]) => Answer | Promise<Answer>): Promise<void> {
    this.#silent = false;
    const ask = async (batch: readonly Scan[]) => {
      this.batches.push(batch.map(({ id, at, gate }) => (at === '' && gate === null ? `${id}'` : id)).join(' '));
      if (this.batches.length > 50) throw new Error('it asks for ever');
      const answer = await answerTo(batch);
      this.#silent = answer === SILENCE;
      if (answer instanceof Error) throw answer;
      if (answer) for (const { id } of batch) this.scans.end(id);
      return answer;
    };
    const outcome = await this.scans.send(ask).catch((error: unknown) => error);
    assert.equal(outcome, this.#silent ? SILENCE : undefined);
  }
}

// --- each state, and whatever may happen then --------------------------------------------------------------------------
const COMES_TO: Record<State, (tab: Tab) => unknown> = {
  unsent: () => undefined,
  asked: (tab) => tab.ask(),
  late: (tab) => (tab.ask(), tab.scans.turnAway('one')),
  unsure: (tab) => tab.answer(SILENCE),
  unwanted: (tab) => tab.answer(SILENCE).then(() => tab.scans.turnAway('one')),
  untaken: (tab) => tab.answer(false),
};
const EVENTS: readonly (readonly [string, (tab: Tab) => unknown])[] = [
  ['asked about', (tab) => tab.ask()],
  ['not answered', (tab) => tab.answer(SILENCE)],
  ['taken in no form', (tab) => tab.answer(false)],
  ['let in', (tab) => tab.scans.letIn('one', TWO_IN)],
  ['turned away', (tab) => tab.scans.turnAway('one')],
  ['judged by the server', (tab) => tab.scans.end('one')],
];
const TABLE: readonly (readonly [State, ...(State | 'gone')[]])[] = [
  //           asked about  not answered  taken in no form  let in      turned away  judged by the server
  ['unsent',   'asked',     'unsure',     'untaken',        'unsent',   'gone',      'gone'],
  ['asked',    'asked',     'unsure',     'untaken',        'asked',    'late',      'gone'],
  ['late',     'late',      'unwanted',   'gone',           'late',     'late',      'gone'],
  ['unsure',   'asked',     'unsure',     'untaken',        'unsure',   'unwanted',  'gone'],
  ['unwanted', 'unwanted',  'unwanted',   'gone',           'unwanted', 'unwanted',  'gone'],
  ['untaken',  'untaken',   'untaken',    'untaken',        'untaken',  'gone',      'gone'],
];
const SENT_WHEN_ASKED: readonly State[] = ['unsent', 'unsure', 'unwanted']; // and of no others is the server asked once more

for (const [state, ...becomes] of TABLE) {
  for (const [index, [event, happens]] of EVENTS.entries()) {
    const then = becomes[index] ?? assert.fail();
    test(`${state}, and ${event}: ${then}`, async () => {
      const tab = new Tab(new Room(100), 'one');
      await COMES_TO[state](tab);
      assert.equal(tab.scans.of('one')?.state, state);
      const asked = tab.batches.length;
      await happens(tab);
      assert.equal(tab.scans.of('one')?.state ?? 'gone', then);
      if (event === 'asked about') assert.equal(tab.batches.length - asked, SENT_WHEN_ASKED.includes(state) ? 1 : 0);

      const waits = then !== 'gone' && then !== 'untaken';
      const turnedAway = then === 'late' || then === 'unwanted';
      const letIn = event === 'let in' && !turnedAway;
      assert.deepEqual(ids(tab.scans.waiting), waits ? ['one'] : []);
      const kept = tab.stored.waiting().map((each) => [each.id, each.turnedAway ?? false, each.admitted]);
      assert.deepEqual(kept, waits ? [['one', turnedAway, event === 'let in' ? TWO_IN : undefined]] : []);
      assert.deepEqual(tab.scans.inside, letIn ? [TWO_IN] : []);
      assert.deepEqual(ids(tab.scans.uncounted), letIn && then === 'untaken' ? ['one'] : []);
    });
  }
}

// --- sending -----------------------------------------------------------------------------------------------------------
test('one that is no scan holds up no others: it is looked for by halves, tried without time and gate, and left', async () => {
  const tab = new Tab(new Room(100), 'a', 'b', 'bad', 'c', 'd');
  await tab.send((batch) => !ids(batch).includes('bad'));
  assert.deepEqual(tab.batches, ['a b bad c d', 'a b bad', 'a b', 'bad c', 'bad', "bad'", 'c', 'd']);
  assert.deepEqual([ids(tab.scans.waiting), tab.stored.waiting()], [[], []]);
});

test('a server that answers something else is one that does not answer, and is asked once', async () => {
  const { stored, scans } = new Tab(new Room(9), '1', '2');
  let asked = 0;
  await assert.rejects(scans.send(() => Promise.resolve((asked += 1) > 0)));
  assert.deepEqual([asked, ids(scans.waiting), ids(stored.waiting())], [1, ['1', '2'], ['1', '2']]);
});

test('a scan is taken without its time and its gate where it is not with them', async () => {
  const tab = new Tab(new Room(100), 'odd');
  await tab.send(([only]) => only?.gate === null);
  assert.deepEqual([tab.batches, tab.scans.of('odd')], [['odd', "odd'"], undefined]);
});

test('no more than two hundred go at once, in the order in which they were read', async () => {
  const read = Array.from({ length: 450 }, (_, index) => `${index}`);
  const tab = new Tab(new Room(1000), ...read);
  await tab.send(() => true);
  assert.deepEqual(tab.batches.map((batch) => batch.split(' ').length), [200, 200, 50]);
  assert.deepEqual(tab.batches.join(' ').split(' '), read);
});

test('whose half of a refused batch is still to be asked about is late, too, when they are turned away; all may be with the server when it falls silent', async () => {
  const tab = new Tab(new Room(100), 'one', 'two', 'three');
  await tab.send((batch) => {
    if (batch.length > 2) return false;
    tab.scans.turnAway('three');
    assert.deepEqual(['one', 'two', 'three'].map((id) => tab.scans.of(id)?.state), ['asked', 'asked', 'late']);
    return SILENCE;
  });
  assert.deepEqual(['one', 'two', 'three'].map((id) => tab.scans.of(id)?.state), ['unsure', 'unsure', 'unwanted']);
  await tab.send(() => true);
  assert.deepEqual(tab.batches, ['one two three', 'one two', 'one two three']);
});

test('what is read while others are asked about goes with the next', async () => {
  const tab = new Tab(new Room(100), 'one');
  tab.ask();
  tab.scans.read(scan('two'));
  assert.deepEqual(['one', 'two'].map((id) => tab.scans.of(id)?.state), ['asked', 'unsent']);
  await tab.answer(true);
  assert.deepEqual([tab.batches, ids(tab.scans.waiting)], [['one', 'two'], []]);
});

test('who was let in on what the server takes in no form is told of, whichever was first, until they are taken back; nobody else is', async () => {
  const tab = new Tab(new Room(100), 'before', 'after', 'out', 'nobody');
  tab.scans.letIn('before', TWO_IN);
  tab.scans.letIn('out', TWO_IN);
  await tab.answer(SILENCE);
  tab.scans.turnAway('out');
  await tab.answer(false);
  assert.deepEqual(ids(tab.scans.uncounted), ['before']);
  const { changes } = tab;
  tab.scans.letIn('after', TWO_IN);
  tab.scans.turnAway('nobody');
  assert.ok(tab.changes > changes, 'whoever shows them hears of it');
  assert.deepEqual(ids(tab.scans.uncounted), ['before', 'after']);
  assert.deepEqual(tab.scans.inside, [TWO_IN, TWO_IN], 'nobody comes in on them once more');
  assert.deepEqual([ids(tab.scans.waiting), tab.stored.waiting()], [[], []], 'they are never sent again');
  tab.scans.turnAway('before');
  assert.deepEqual(ids(tab.scans.uncounted), ['after']);
});

// --- other tabs, other visits, and a browser without room ----------------------------------------------------------------
test('a closed tab sends later, once, and what it has not answered by then it may have', async () => {
  const room = new Room(100);
  const closed = new Tab(room, 'in', 'out', 'sent');
  closed.scans.letIn('in', TWO_IN);
  closed.ask();
  closed.scans.turnAway('out');
  closed.scans.end('sent');
  const again = new Tab(room);
  assert.deepEqual(again.scans.waiting.map(({ id }) => [id, again.scans.of(id)?.state]), [['in', 'unsure'], ['out', 'unwanted']]);
  assert.deepEqual(again.scans.inside, [TWO_IN]);
  await again.send(() => true);
  assert.deepEqual(again.batches, ['in out']);
  assert.deepEqual(new Tab(room).scans.waiting, []);
});

test('two tabs at one door know whom the other has let in, and neither brings back what the other has sent', async () => {
  const room = new Room(100);
  const [one, two] = [new Tab(room), new Tab(room, 'of two')];
  two.scans.letIn('of two', TWO_IN);
  assert.deepEqual(one.scans.inside, [TWO_IN]);
  const three = new Tab(room);
  await two.send(() => true);
  assert.deepEqual([one.scans.inside, ids(three.scans.waiting)], [[], ['of two']]);
  three.ask();
  assert.deepEqual(three.stored.waiting(), []);
});

test('scans that the browser has no room for are told of until all are sent', async () => {
  const tab = new Tab(new Room(1), 'one');
  assert.equal(tab.scans.crowded, false);
  tab.scans.read(scan('two'));
  assert.deepEqual([tab.scans.crowded, ids(tab.scans.waiting)], [true, ['one', 'two']]);
  tab.scans.end('one');
  assert.equal(tab.scans.crowded, true);
  await tab.send(() => true);
  assert.equal(tab.scans.crowded, false);
});

test('two doors in one browser, and two tabs at one of them, keep what is theirs', () => {
  const room = new Room(100);
  const [here, beside, elsewhere] = [new StoredDoor(SCHEDULE, room), new StoredDoor(SCHEDULE, room), new StoredDoor(OTHER, room)];
  here.wait(scan('late', '2026-11-26T19:05:00.000Z'));
  beside.wait(scan('early'));
  elsewhere.wait(scan('other'));
  here.tell(news('sent'));
  here.gate = 'North';
  assert.deepEqual([here.waiting().map(({ id }) => id), elsewhere.waiting().map(({ id }) => id)], [['early', 'late'], ['other']]);
  assert.deepEqual([beside.news(), elsewhere.news()], [[news('sent')], []]);
  assert.deepEqual([beside.gate, elsewhere.gate], ['North', '']);
  here.sent('early');
  here.forget([news('sent')]);
  assert.deepEqual([beside.waiting().map(({ id }) => id), beside.news()], [['late'], []]);
});

test('a browser without room says so, and keeps what it has', () => {
  const door = new StoredDoor(SCHEDULE, new Room(1));
  assert.deepEqual([door.wait(scan('first')), door.wait(scan('second'))], [true, false]);
  assert.equal(door.wait({ ...scan('first'), gate: 'North' }), true);
  assert.doesNotThrow(() => door.tell(news('first')));
  door.gate = 'North';
  assert.deepEqual([door.waiting().map(({ id, gate }) => [id, gate]), door.news(), door.gate], [[['first', 'North']], [], '']);
});
