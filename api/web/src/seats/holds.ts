/**
 * What a customer wants to have, and how it becomes theirs: a click is a wish, and wishes are carried out one after another.
 *
 * One request is under way at most; when it has been answered, the latest wish is compared with what is held, and the next
 * request says all of it. So any number of clicks ends in what was clicked last, in whatever order answers come. What counts as
 * theirs is `booking`, which the server has confirmed; `wish` is what is drawn at once and taken back where it is refused:
 *
 * - seats that have gone leave the wish, and no others do;
 * - a request of which nobody knows the outcome is sent again with the same key until it is known;
 * - a refusal for any other reason takes the wish back to what is held, and is told.
 *
 * Seats are ids here, as in a booking: a standing area's id occurs once a place.
 */

import { Problem } from '../api/problem.ts';

export interface HeldSeat {
  readonly id: string;
  readonly zone: string;
  readonly row: string;
  readonly number: string;
  readonly category: string;
  readonly price: number;
}

/** As much of a booking as holding takes. */
export interface Held {
  readonly id: string;
  readonly status: string;
  readonly seats: readonly HeldSeat[];
  readonly amount: number;
  readonly currency: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly version: number;
}

/** The best seats there are, chosen by the server. */
export interface Best {
  readonly quantity: number;
  readonly category?: string;
  readonly zone?: string;
  readonly adjacent?: boolean;
  /** Any but these: others, please. */
  readonly exclude?: readonly string[];
}

export type Wish = { readonly seats: readonly string[] } | Best;

/** The way to the server. Each throws a `Problem`; `key` is the same whenever a request is sent again. */
export interface Server {
  /** Whether somebody is logged in, after asking where nobody is. Throws a `Problem` where that cannot be told now. */
  demand(): Promise<boolean>;
  hold(wish: Wish, key: string): Promise<Held>;
  change(id: string, wish: Wish, key: string): Promise<Held>;
  release(id: string, key: string): Promise<void>;
  extend(id: string, key: string): Promise<Held>;
  wait(seconds: number): Promise<void>;
}

/** What has just happened that the customer should know. */
export type News =
  | { readonly kind: 'held'; readonly seats: readonly HeldSeat[] }
  | { readonly kind: 'gone'; readonly seats: readonly string[] }
  | { readonly kind: 'refused'; readonly problem: Problem }
  | { readonly kind: 'expired' }
  | { readonly kind: 'extended' }
  | { readonly kind: 'released' };

type Order = { readonly kind: 'best'; readonly best: Best } | { readonly kind: 'extend' };

const GONE = 'seats_unavailable';
/** Refusals that say that the hold itself is over. */
const OVER = new Set(['booking_expired', 'booking_not_found', 'booking_already_cancelled', 'booking_already_paid', 'booking_not_changeable']);
const RETRY_SECONDS = [0.5, 1, 2, 4, 8];

export class Holds {
  booking: Held | null = null;
  wish: readonly string[] = [];
  /** A request is under way. */
  busy = false;
  /** Seconds until a request that could not be answered goes out again; null: none waits. */
  retryInSeconds: number | null = null;
  /** They were asked to log in and did not: wishes are kept, and nothing is sent. */
  declined = false;
  /** The seats of the hold that has run out, for whoever wants them again. */
  lapsed: readonly string[] = [];
  readonly #server: Server;
  readonly #tell: (news: News | null) => void;
  readonly #newKey: () => string;
  #order: Order | null = null;
  #asked: readonly string[] | null = null; // the seats of the request under way

  /** `tell` is called whenever anything here has changed, with news where there are any. */
  constructor(server: Server, tell: (news: News | null) => void, newKey: () => string) {
    this.#server = server;
    this.#tell = tell;
    this.#newKey = newKey;
  }

  get held(): readonly string[] {
    return this.booking?.seats.map((seat) => seat.id) ?? [];
  }

  /** What may be shown as theirs: held, and not given up by a request whose outcome is not known yet. */
  get mine(): readonly string[] {
    const kept = this.#asked;
    return this.held.filter((id) => this.wish.includes(id) && (kept === null || kept.includes(id)));
  }

  /** Wants the seat, or does not want it any more. */
  toggle(id: string): Promise<void> {
    return this.set(this.wish.includes(id) ? this.wish.filter((each) => each !== id) : [...this.wish, id]);
  }

  /** Wants so many places of a standing area. */
  places(area: string, count: number): Promise<void> {
    return this.set([...this.wish.filter((each) => each !== area), ...Array.from({ length: count }, () => area)]);
  }

  /** Wants these and no others. */
  set(ids: readonly string[]): Promise<void> {
    this.wish = ids;
    this.lapsed = [];
    this.#tell(null);
    return this.#carryOn();
  }

  /** Wants the best there are, instead of what is held. */
  best(best: Best): Promise<void> {
    this.declined = false;
    return this.#instruct({ kind: 'best', best });
  }

  extend(): Promise<void> {
    return this.#instruct({ kind: 'extend' });
  }

  /** Sends what was wished before they were logged in. */
  insist(): Promise<void> {
    this.declined = false;
    return this.#carryOn();
  }

  /** Takes over a hold from elsewhere: an earlier visit, another tab. Older news of the same hold change nothing. */
  adopt(booking: Held): void {
    if (this.busy || (this.booking !== null && this.booking.id === booking.id && this.booking.version >= booking.version)) return;
    this.#take(booking.status === 'held' ? booking : null);
    this.#tell(null);
  }

  /** The hold's time is up by the server's clock, or it has ended elsewhere. */
  over(): void {
    if (this.booking === null || this.busy) return;
    this.lapsed = this.held;
    this.#take(null);
    this.#tell({ kind: 'expired' });
  }

  /** Whoever it was has logged out: nothing of theirs stays in sight. */
  forget(): void {
    if (this.busy || (this.booking === null && this.lapsed.length === 0)) return;
    this.lapsed = [];
    this.#take(null);
    this.#tell(null);
  }

  /** Seats that nobody asked for yet, and that are no longer free. */
  lost(ids: readonly string[]): void {
    const gone = ids.filter((id) => this.wish.includes(id) && !this.held.includes(id));
    if (this.busy || gone.length === 0) return;
    this.wish = this.wish.filter((id) => !gone.includes(id));
    this.#tell({ kind: 'gone', seats: gone });
  }

  #instruct(order: Order): Promise<void> {
    this.#order = order;
    this.#tell(null);
    return this.#carryOn();
  }

  async #carryOn(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.#isWanting() && (await this.#admitted())) await this.#step();
    } finally {
      this.busy = false;
      this.#tell(null);
    }
  }

  #isWanting(): boolean {
    return this.#order !== null || (!this.declined && !isSame(this.wish, this.held));
  }

  async #admitted(): Promise<boolean> {
    if (await this.#sent(() => this.#server.demand())) return true;
    this.declined = true;
    this.#order = null;
    return false;
  }

  async #step(): Promise<void> {
    const order = this.#order;
    this.#order = null;
    const { booking, wish } = this;
    const request = order === null ? this.#fulfilling(booking, wish) : this.#ordered(order, booking);
    if (request === null) return;
    this.#asked = order === null ? wish : order.kind === 'extend' ? this.held : [];
    try {
      const news = await this.#sent(request).finally(() => (this.#asked = null));
      this.#tell(news);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#refused(error, wish, order);
    }
  }

  /** What turns what is held into what is wished. */
  #fulfilling(booking: Held | null, wish: readonly string[]): Request {
    if (booking === null) return (key) => this.#server.hold({ seats: wish }, key).then((made) => this.#held(made, wish));
    if (wish.length > 0) return (key) => this.#server.change(booking.id, { seats: wish }, key).then((made) => this.#held(made, wish));
    return async (key) => {
      await this.#server.release(booking.id, key);
      this.booking = null;
      return { kind: 'released' };
    };
  }

  #ordered(order: Order, booking: Held | null): Request | null {
    if (order.kind === 'extend') {
      if (booking === null) return null;
      return async (key) => {
        this.booking = await this.#server.extend(booking.id, key);
        return { kind: 'extended' };
      };
    }
    const before = this.wish;
    // A hold is changed: its seats stay theirs until others are.
    return async (key) => {
      const made = booking === null ? this.#server.hold(order.best, key) : this.#server.change(booking.id, order.best, key);
      return this.#held(await made, before);
    };
  }

  /** The server's answer to a wish. What was wished meanwhile stays wished. */
  #held(booking: Held, asked: readonly string[]): News {
    this.booking = booking;
    if (this.wish === asked) this.wish = this.held;
    return { kind: 'held', seats: booking.seats };
  }

  #take(booking: Held | null): void {
    this.booking = booking;
    this.wish = this.held;
  }

  async #sent<T>(request: (key: string) => Promise<T>): Promise<T> {
    const key = this.#newKey();
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await request(key);
      } catch (error) {
        if (!(error instanceof Problem) || !(error.isUncertain || error.status === 429)) throw error;
        const pause = error.retryAfterSeconds ?? RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)] ?? 8;
        this.retryInSeconds = pause;
        this.#tell(null);
        await this.#server.wait(pause);
        this.retryInSeconds = null;
      }
    }
  }

  #refused(problem: Problem, asked: readonly string[], order: Order | null): void {
    const gone = problem.code === GONE ? seatsOf(problem) : [];
    if (order === null && gone.length > 0) {
      this.wish = this.wish.filter((id) => !gone.includes(id) || this.held.includes(id));
      this.#tell({ kind: 'gone', seats: gone });
      return;
    }
    if (this.booking !== null && OVER.has(problem.code)) {
      this.lapsed = this.held;
      this.#take(null);
      this.#tell(problem.code === 'booking_expired' ? { kind: 'expired' } : { kind: 'refused', problem });
      return;
    }
    // Whatever was wished meanwhile is tried by itself, unless it contains what has just been refused.
    if (order === null && this.wish === asked) this.wish = this.held;
    else if (order === null) this.wish = this.held.filter((id) => this.wish.includes(id));
    this.#tell({ kind: 'refused', problem });
  }
}

/** What of `held` each wanted place is, in the order of the wish; null where it is not theirs (yet). */
export function heldOf(wish: readonly string[], mine: readonly string[], held: readonly HeldSeat[]): readonly (HeldSeat | null)[] {
  const [kept, left] = [[...mine], [...held]];
  const taken = <T>(list: T[], is: (each: T) => boolean): T | null => {
    const at = list.findIndex(is);
    return at < 0 ? null : (list.splice(at, 1)[0] ?? null);
  };
  return wish.map((id) => (taken(kept, (each) => each === id) === null ? null : taken(left, (seat) => seat.id === id)));
}

type Request = (key: string) => Promise<News>;

function seatsOf(problem: Problem): readonly string[] {
  const { seats } = problem.document;
  return Array.isArray(seats) ? seats.filter((seat): seat is string => typeof seat === 'string') : [];
}

/** Whether both have the same seats, as often, in any order. */
function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && [...some].sort().join('\n') === [...others].sort().join('\n');
}
