/**
 * Keeps the states of a house as they are: states at a version, then the stream from that version on.
 *
 * A gap leads to all states being read again. A stream that cannot be had is replaced by reading the states every few seconds,
 * as often as the server allows (`Retry-After`), until it can be had again. `pause` closes the connection (a hidden tab);
 * `resume` goes on from the version that is here. What changed elsewhere in this browser comes in through `hear`, so that one tab
 * alone needs a stream (`shared.ts`).
 */

import type { Changed, Delta, Snapshot, States } from '../house/states.ts';
import { EventReader } from './events.ts';

export type News = { readonly kind: 'snapshot'; readonly of: Snapshot } | { readonly kind: 'delta'; readonly of: Delta };

/** A response of the stream, or why there is none. */
export type Opened =
  | { readonly pieces: AsyncIterable<string> }
  | { readonly retryAfterSeconds: number | null };

export interface Source {
  /** All states, as they are now. Throws where they cannot be had. */
  read(): Promise<Snapshot>;
  /** Whether what is read and told is of the house that is drawn: its plan may have been corrected meanwhile. */
  fits(layout: string): boolean;
  /** The stream from a version on. Throws where there is no connection. */
  open(after: number, signal: AbortSignal): Promise<Opened>;
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** `away`: hidden, or another tab keeps the stream; `lost`: there is no connection, and one is tried for. */
export type Status = 'live' | 'polling' | 'lost' | 'away';

const POLL_MS = 5_000;
const RECONNECT_MS = 1_000;
const JITTER = 0.3;

export class Live {
  status: Status = 'away';
  readonly #states: States;
  readonly #source: Source;
  readonly #tell: (changed: Changed) => void;
  readonly #pass: (news: News) => void;
  #running: AbortController | null = null;
  #reading: Promise<void> | null = null;

  /** `tell` hears what is different now; `pass` gets what came from the server, for others in this browser. */
  constructor(states: States, source: Source, tell: (changed: Changed) => void, pass: (news: News) => void = () => undefined) {
    this.#states = states;
    this.#source = source;
    this.#tell = tell;
    this.#pass = pass;
  }

  /** Keeps a stream open until `pause`. */
  resume(): void {
    if (this.#running !== null) return;
    const running = new AbortController();
    this.#running = running;
    void this.#follow(running.signal);
  }

  pause(): void {
    this.#running?.abort();
    this.#running = null;
    this.#is('away');
  }

  /** Takes what the server said, here or to another tab. */
  hear(news: News): void {
    const changed = news.kind === 'snapshot' ? this.#states.replace(news.of) : this.#states.apply(news.of);
    if (changed !== null) this.#tell(changed);
    else if (news.kind === 'delta') void this.refresh();
  }

  /** Reads all states anew; together with whoever asks for it at the same time. Never throws. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #read(): Promise<void> {
    try {
      const snapshot = await this.#source.read();
      this.hear({ kind: 'snapshot', of: snapshot });
      this.#pass({ kind: 'snapshot', of: snapshot });
    } catch {
      // The stream, or the next turn of polling, brings it.
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const pause = await this.#stream(signal).catch(() => null);
      if (signal.aborted) return;
      if (pause === null) this.#is('lost');
      await this.#source.wait((pause ?? RECONNECT_MS) * (1 + JITTER * Math.random()), signal).catch(() => undefined);
    }
  }

  /** Follows one connection to its end. Gives how many milliseconds to wait before the next. */
  async #stream(signal: AbortSignal): Promise<number> {
    const opened = await this.#source.open(this.#states.version, signal);
    if (!('pieces' in opened)) {
      this.#is('polling');
      await this.refresh();
      return opened.retryAfterSeconds === null ? POLL_MS : opened.retryAfterSeconds * 1000;
    }
    this.#is('live');
    const reader = new EventReader();
    for await (const piece of opened.pieces) {
      for (const event of reader.take(piece)) this.#received(event.event, event.data);
    }
    return RECONNECT_MS;
  }

  #received(event: string, data: string): void {
    if (this.#running === null) return;
    if (event === 'terms') {
      // What follows numbers the places of another house: whoever draws this one begins anew.
      if (this.#source.fits((JSON.parse(data) as { readonly layout: string }).layout)) void this.refresh();
      else this.pause();
      return;
    }
    const news = { kind: event === 'snapshot' ? 'snapshot' : 'delta', of: JSON.parse(data) as unknown } as News;
    this.hear(news);
    this.#pass(news);
  }

  #is(status: Status): void {
    if (this.status === status) return;
    this.status = status;
    this.#tell({ seats: [], areas: false });
  }
}
