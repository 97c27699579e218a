/**
 * The server's clock, which all countdowns go by: a phone's may be minutes off.
 *
 * Each answer's `Date` header bounds it: the server's time lay within that second somewhere between sending and receiving.
 * The bounds of all answers are cut with one another, so the error falls below a second after a few of them.
 */

const SECOND_MS = 1000;
/** An answer that the browser may have kept says when it was made, which may have been a year ago. */
const MAY_BE_OLD = /\bmax-age=[1-9]|\bimmutable\b/;

export class ServerClock {
  // The server's time minus ours lies between these.
  #earliest = -Infinity;
  #latest = Infinity;
  readonly #ours: () => number;

  constructor(ours: () => number = Date.now) {
    this.#ours = ours;
  }

  /** Takes in one answer by its headers, and when by our clock its request was sent. */
  heard(headers: Headers, sentMs: number): void {
    const second = Date.parse(headers.get('Date') ?? '');
    if (Number.isNaN(second) || MAY_BE_OLD.test(headers.get('Cache-Control') ?? '')) return;
    const earliest = second - this.#ours();
    const latest = second + SECOND_MS - sentMs;
    // Bounds that exclude those before mean that our clock was set, or drifted: begin anew.
    const apart = earliest > this.#latest || latest < this.#earliest;
    this.#earliest = apart ? earliest : Math.max(this.#earliest, earliest);
    this.#latest = apart ? latest : Math.min(this.#latest, latest);
  }

  /** Whether anything was heard of it. */
  get known(): boolean {
    return Number.isFinite(this.#earliest) && Number.isFinite(this.#latest);
  }

  /** By how many milliseconds it is ahead of ours; by none, as long as nothing was heard of it. */
  get ahead(): number {
    return this.known ? (this.#earliest + this.#latest) / 2 : 0;
  }

  /** The server's time in milliseconds. Ours, as long as nothing was heard of it. */
  now(): number {
    return this.#ours() + this.ahead;
  }
}

export const serverClock = new ServerClock();
