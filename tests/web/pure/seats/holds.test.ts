// The wish machine: whatever is clicked in whatever order answers come, it ends in what was clicked last, and no seat is shown as
// theirs that the server has not given them.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Problem } from '../../../../api/web/src/api/problem.ts';
import { type Held, Holds, type News, type Server, type Wish, heldOf } from '../../../../api/web/src/seats/holds.ts';

/** A server in memory: seats that are taken, one booking, and answers that wait until they are let through. */
class House implements Server {
  readonly taken = new Set<string>();
  readonly requests: string[] = [];
  readonly keys: string[] = [];
  readonly waits: number[] = [];
  readonly news: News[] = [];
  booking: Held | null = null;
  loggedIn = true;
  slow = false;
  failures: Problem[] = [];
  lost = 0; // answers that are carried out and never come back
  #version = 1;
  #waiting: (() => void)[] = [];
  #answers = new Map<string, Held>();
  readonly holds = new Holds(
    this,
    (news) => news !== null && this.news.push(news),
    () => `key-${this.keys.length}`,
  );

  untold: Problem[] = []; // why nobody can say whether they are logged in
  demand = () => {
    const problem = this.untold.shift();
    return problem === undefined ? Promise.resolve(this.loggedIn) : Promise.reject(problem);
  };

  hold(wish: Wish, key: string): Promise<Held> {
    const seats = chosenBy(wish);
    return this.#answer(`hold ${seats.join(' ')}`, key, () => {
      this.#check(seats, []);
      return this.#booked(`b${this.#version}`, seats);
    });
  }

  change(id: string, wish: Wish, key: string): Promise<Held> {
    const seats = chosenBy(wish);
    return this.#answer(`change ${seats.join(' ')}`, key, () => {
      if (this.booking?.id !== id) throw refusal('booking_expired', 409);
      this.#check(seats, this.booking.seats.map((seat) => seat.id));
      return this.#booked(id, seats);
    });
  }

  async release(id: string, key: string): Promise<void> {
    await this.#answer(`release ${id}`, key, () => {
      const before = this.booking;
      if (before?.id === id) this.booking = null;
      return before ?? this.#made(id, []);
    });
  }

  extend(id: string, key: string): Promise<Held> {
    return this.#answer(`extend ${id}`, key, () => {
      if (this.booking?.id !== id) throw refusal('booking_expired', 409);
      return this.#booked(id, this.booking.seats.map((seat) => seat.id));
    });
  }

  wait = (seconds: number) => (this.waits.push(seconds), Promise.resolve());

  /** Lets the answer that waits longest through. */
  async letThrough(): Promise<void> {
    this.#waiting.shift()?.();
    await settled();
  }

  async #answer(request: string, key: string, decide: () => Held): Promise<Held> {
    this.requests.push(request);
    this.keys.push(key);
    if (this.slow) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const known = this.#answers.get(key);
    const answer = known ?? decide();
    this.#answers.set(key, answer);
    if (this.lost > 0) {
      this.lost -= 1;
      throw new Problem({ code: 'offline', title: '', status: 0, detail: '' });
    }
    return answer;
  }

  #check(seats: readonly string[], own: readonly string[]): void {
    const gone = seats.filter((seat) => this.taken.has(seat) && !own.includes(seat));
    if (gone.length > 0) throw refusal('seats_unavailable', 409, { seats: gone });
  }

  #booked(id: string, seats: readonly string[]): Held {
    this.booking = this.#made(id, seats);
    return this.booking;
  }

  #made(id: string, seats: readonly string[]): Held {
    this.#version += 1;
    const places = seats.map((seat) => ({ id: seat, zone: '', row: '', number: '', category: '', price: 1 }));
    const [created_at, expires_at] = ['2026-12-01T00:00:00Z', '2026-12-01T00:07:00Z'];
    return { id, status: 'held', seats: places, amount: seats.length, currency: 'KRW', created_at, expires_at, version: this.#version };
  }
}

function chosenBy(wish: Wish): readonly string[] {
  if ('seats' in wish) return wish.seats;
  const open = Array.from({ length: 20 }, (_, i) => `best-${i}`).filter((seat) => !wish.exclude?.includes(seat));
  return open.slice(0, wish.quantity);
}

function refusal(code: string, status: number, facts: Record<string, unknown> = {}, retryAfter: number | null = null): Problem {
  return new Problem({ code, status, title: code, detail: '', ...facts }, retryAfter);
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const kinds = (house: House) => house.news.map((news) => news.kind);

test('a click is a hold, the next ones change it, and taking the last one back lets it go', async () => {
  const house = new House();
  await house.holds.toggle('a');
  await house.holds.toggle('b');
  await house.holds.toggle('a');
  await house.holds.toggle('b');
  assert.deepEqual(house.requests, ['hold a', 'change a b', 'change b', 'release b1']);
  assert.deepEqual(kinds(house), ['held', 'held', 'held', 'released']);
  assert.deepEqual([house.holds.booking, house.holds.wish], [null, []]);
});

test('what is clicked while a request is under way is one request afterwards', async () => {
  const house = new House();
  house.slow = true;
  void house.holds.toggle('a');
  await settled();
  for (const seat of ['b', 'c', 'd', 'c']) void house.holds.toggle(seat);
  await settled();
  assert.deepEqual(house.requests, ['hold a']);
  assert.deepEqual([house.holds.wish, house.holds.held], [['a', 'b', 'd'], []]);
  await house.letThrough();
  assert.deepEqual(house.holds.held, ['a']);
  await house.letThrough();
  assert.deepEqual(house.requests, ['hold a', 'change a b d']);
  assert.deepEqual(house.holds.held, ['a', 'b', 'd']);
});

test('clicked and taken back before the answer came: what was held meanwhile is let go', async () => {
  const house = new House();
  house.slow = true;
  void house.holds.toggle('a');
  await settled();
  void house.holds.toggle('a');
  await house.letThrough();
  await house.letThrough();
  assert.deepEqual([house.requests, house.booking, house.holds.wish], [['hold a', 'release b1'], null, []]);
});

test('only seats that have gone leave the wish', async () => {
  const house = new House();
  house.taken.add('b');
  await house.holds.set(['a', 'b', 'c']);
  assert.deepEqual(house.holds.held, ['a', 'c']);
  assert.deepEqual(house.news[0], { kind: 'gone', seats: ['b'] });
  house.taken.add('d');
  await house.holds.toggle('d');
  assert.deepEqual([house.holds.held, house.holds.wish], [['a', 'c'], ['a', 'c']]);
});

test('when the only seat has gone nothing is asked for any more', async () => {
  const house = new House();
  house.taken.add('a');
  await house.holds.toggle('a');
  assert.deepEqual([house.requests, house.holds.wish, house.holds.booking], [['hold a'], [], null]);
});

test('an answer that was lost is asked for with the same key, and nothing is held twice', async () => {
  const house = new House();
  house.lost = 2;
  await house.holds.toggle('a');
  assert.deepEqual(house.requests, ['hold a', 'hold a', 'hold a']);
  assert.equal(new Set(house.keys).size, 1);
  assert.deepEqual([house.holds.held, house.booking?.id], [['a'], 'b1']);
  assert.equal(house.waits.length, 2);
});

test('a wish changed while the outcome is unknown waits until it is known', async () => {
  const house = new House();
  house.lost = 1;
  house.slow = true;
  void house.holds.toggle('a');
  await settled();
  void house.holds.toggle('b');
  await house.letThrough();
  assert.deepEqual(house.requests, ['hold a', 'hold a']);
  await house.letThrough();
  await house.letThrough();
  assert.deepEqual(house.requests, ['hold a', 'hold a', 'change a b']);
});

test('a crowded house is asked again when it says so', async () => {
  const house = new House();
  house.failures = [refusal('overloaded', 503, {}, 3), refusal('rate_limited', 429, {}, 7)];
  await house.holds.toggle('a');
  assert.deepEqual([house.waits, house.holds.held], [[3, 7], ['a']]);
});

test('while nobody can say whether they are logged in they are asked for again, and not told to log in', async () => {
  const house = new House();
  house.untold = [refusal('overloaded', 503, {}, 3), refusal('offline', 0)];
  await house.holds.toggle('a');
  assert.deepEqual([house.waits, house.requests, house.holds.declined], [[3, 1], ['hold a'], false]);
});

test('any other refusal takes the wish back to what is held, and is told', async () => {
  const house = new House();
  await house.holds.toggle('a');
  house.failures = [refusal('customer_limit_reached', 409)];
  await house.holds.toggle('b');
  assert.deepEqual([house.holds.wish, house.holds.held], [['a'], ['a']]);
  const last = house.news.at(-1);
  assert.equal(last?.kind === 'refused' && last.problem.code, 'customer_limit_reached');
});

test('a refusal does not bring back what was taken out meanwhile', async () => {
  const house = new House();
  await house.holds.set(['a', 'b']);
  house.slow = true;
  house.failures = [refusal('customer_limit_reached', 409)];
  void house.holds.toggle('c');
  await settled();
  void house.holds.toggle('a');
  await house.letThrough();
  await house.letThrough();
  assert.deepEqual([house.holds.wish, house.holds.held], [['b'], ['b']]);
});

test('a hold that has run out is told, and its seats can be wanted again in one go', async () => {
  const house = new House();
  await house.holds.set(['a', 'b']);
  house.booking = null;
  await house.holds.toggle('c');
  assert.deepEqual([kinds(house).at(-1), house.holds.lapsed, house.holds.wish], ['expired', ['a', 'b'], []]);
  house.taken.add('b');
  await house.holds.set(house.holds.lapsed);
  assert.deepEqual([house.holds.held, house.holds.lapsed], [['a'], []]);
});

test('time that is up by the clock ends the hold without a request', async () => {
  const house = new House();
  await house.holds.toggle('a');
  house.holds.over();
  assert.deepEqual([house.requests.length, house.holds.lapsed, house.holds.held], [1, ['a'], []]);
});

test('whoever does not log in keeps the choice, is asked once, and goes on where they were', async () => {
  const house = new House();
  house.loggedIn = false;
  await house.holds.toggle('a');
  await house.holds.toggle('b');
  assert.deepEqual([house.requests, house.holds.wish, house.holds.declined], [[], ['a', 'b'], true]);
  house.holds.lost(['a', 'z']);
  assert.deepEqual(house.news, [{ kind: 'gone', seats: ['a'] }]);
  house.loggedIn = true;
  await house.holds.insist();
  assert.deepEqual(house.requests, ['hold b']);
});

test('the best seats take the place of those held in one go, and others that of these', async () => {
  const house = new House();
  await house.holds.toggle('a');
  await house.holds.best({ quantity: 2 });
  await house.holds.best({ quantity: 2, exclude: house.holds.held });
  assert.deepEqual(house.requests, ['hold a', 'change best-0 best-1', 'change best-2 best-3']);
  assert.deepEqual([house.holds.held, house.holds.wish], [['best-2', 'best-3'], ['best-2', 'best-3']]);
});

test('best seats that cannot be had leave what is held', async () => {
  const house = new House();
  await house.holds.toggle('a');
  house.failures = [refusal('not_enough_seats', 409, { available: 1 })];
  await house.holds.best({ quantity: 2 });
  assert.deepEqual([house.holds.held, house.holds.wish], [['a'], ['a']]);
});

test('a hold is extended in one go', async () => {
  const house = new House();
  await house.holds.toggle('a');
  const before = house.holds.booking?.version ?? 0;
  await house.holds.extend();
  assert.ok((house.holds.booking?.version ?? 0) > before);
  assert.deepEqual(kinds(house), ['held', 'extended']);
});

test('news of the hold from another tab are taken unless they are older', async () => {
  const house = new House();
  await house.holds.toggle('a');
  const old = house.holds.booking as Held;
  await house.holds.toggle('b');
  house.holds.adopt(old);
  assert.deepEqual(house.holds.held, ['a', 'b']);
  house.holds.adopt({ ...old, version: 99, seats: [] , status: 'cancelled' });
  assert.deepEqual([house.holds.booking, house.holds.wish], [null, []]);
});

test('after a log-out nothing of theirs stays in sight, and the server keeps the hold', async () => {
  const house = new House();
  await house.holds.toggle('a');
  house.holds.forget();
  assert.deepEqual([house.holds.booking, house.holds.mine, house.holds.lapsed, house.requests], [null, [], [], ['hold a']]);
});

test('places of a standing area are wanted by number', async () => {
  const house = new House();
  await house.holds.places('floor', 3);
  await house.holds.places('floor', 1);
  assert.deepEqual(house.requests, ['hold floor floor floor', 'change floor']);
});

test('what is held keeps the price it is held at, each place its own, and what is only wanted has none', () => {
  const priced = (id: string, price: number) => ({ id, zone: '', row: '', number: '', category: 'R', price });
  const held = [priced('a', 0), priced('floor', 20), priced('floor', 30)];
  const prices = (wish: readonly string[], mine: readonly string[]) => heldOf(wish, mine, held).map((seat) => seat?.price ?? null);
  assert.deepEqual(prices(['b', 'floor', 'a', 'floor'], ['a', 'floor', 'floor']), [null, 20, 0, 30]);
  assert.deepEqual(prices(['a', 'floor', 'floor'], ['a', 'floor']), [0, 20, null]);
  assert.deepEqual(prices(['a'], []), [null]); // given up, as far as anybody knows
});

for (let seed = 1; seed <= 60; seed += 1) {
  test(`any story ends in what was clicked last, less what has gone (${seed})`, async () => {
    let state = seed * 7919;
    const roll = (below: number) => (state = (state * 16807) % 2147483647) % below;
    const house = new House();
    house.slow = true;
    for (let step = 0; step < 40; step += 1) {
      const seat = 'abcdef'[roll(6)] ?? 'a';
      if (roll(3) === 0) await house.letThrough();
      else if (roll(6) === 0) house.lost = 1;
      else if (roll(6) === 0 && !house.booking?.seats.some((each) => each.id === seat)) house.taken.add(seat);
      else void house.holds.toggle(seat);
      await settled();
      // Nobody ever sees a seat as theirs that isn't.
      for (const id of house.holds.mine) assert.ok(!house.taken.has(id));
    }
    for (let times = 0; times < 60; times += 1) await house.letThrough();
    assert.equal(house.holds.busy, false);
    assert.deepEqual([...house.holds.held].sort(), [...house.holds.wish].sort());
    assert.deepEqual([...house.holds.held].sort(), (house.booking?.seats.map((each) => each.id) ?? []).sort());
  });
}
