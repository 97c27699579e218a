/**
 * Stands in line for somebody: joins, follows the place by its stream, and looks for itself where there is none to be had.
 *
 * Whatever breaks on the way, the place stays: it is the account's, and joining again gives the same one. So nothing ends the
 * waiting but being let in, leaving, or a server that says that there is nothing to wait for any more (`end`).
 */

import type { Place } from './passes.ts';
import { Problem, type ProblemDocument, offline } from '../../api/problem.ts';

/** What the stream of a place tells. */
export type Told =
  | { readonly kind: 'place'; readonly place: Place }
  | { readonly kind: 'interrupted' | 'over'; readonly problem: Problem };

/** The way to the server. Each throws a `Problem`. */
export interface Source {
  /** The customer's place: the one there is, or one at the end. */
  join(): Promise<Place>;
  look(ticket: string): Promise<Place>;
  leave(place: Place): Promise<void>;
  /** What is told of a place as it happens, until one is let in or it is over, or the connection ends. */
  follow(ticket: string, signal: AbortSignal): Promise<AsyncIterable<Told>>;
  /** Throws as soon as `signal` says so. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Where somebody stands, as far as it is known; what one tab tells the others is this, too. */
export interface Standing {
  readonly place: Place | null;
  /** Why nothing newer is known at the moment. */
  readonly interrupted: ProblemDocument | null;
  /** Why there is nothing to wait for any more; `left` by oneself. */
  readonly end: ProblemDocument | 'left' | null;
}

export const UNKNOWN: Standing = { place: null, interrupted: null, end: null };

const RECONNECT_MS = 2_000;
const LOOKS_WITHOUT_STREAM = 10; // where there is no room for streams, asking for one each time would cost what looking costs
const JITTER = 0.3; // or all who were cut off would come back in one moment
/** The ticket is not known (any more): joining gives another for the same place. */
const FORGOTTEN = 'ticket_not_found';

export class Line {
  standing: Standing = UNKNOWN;
  readonly #source: Source;
  readonly #tell: (standing: Standing) => void;
  readonly #pass: (standing: Standing) => void;
  /** How often to look before a stream is asked for again. */
  #looks = 0;

  /** `tell` hears of every change; `pass` gets what has happened here, for others in this browser. */
  constructor(source: Source, tell: (standing: Standing) => void, pass: (standing: Standing) => void = () => undefined) {
    this.#source = source;
    this.#tell = tell;
    this.#pass = pass;
  }

  get isDone(): boolean {
    return this.standing.end !== null || this.standing.place?.status === 'admitted';
  }

  /** Takes what has happened in another tab. */
  hear(standing: Standing): void {
    this.standing = standing;
    this.#tell(standing);
  }

  /** Joins, which gives the place that there is already. */
  async join(): Promise<void> {
    await this.#tried(async () => this.#know(await this.#source.join()));
  }

  /** Looks where the place is now. */
  async look(): Promise<void> {
    const { place } = this.standing;
    if (place !== null && !this.isDone) await this.#tried(async () => this.#know(await this.#source.look(place.ticket)));
  }

  /** Stands in line until there is nothing to wait for, or `signal` says so. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.isDone) {
      const pause = await this.#tried(() => this.#turn(signal));
      if (signal.aborted || this.isDone) return;
      await this.#source.wait(pause * (1 + JITTER * Math.random()), signal).catch(() => undefined);
    }
  }

  /** Gives the place up. Throws a `Problem` where the server does not hear of it. */
  async leave(): Promise<void> {
    if (this.standing.place !== null) await this.#source.leave(this.standing.place);
    this.#is({ ...UNKNOWN, end: 'left' });
  }

  /** Begins again at the end of the line. */
  async joinAnew(): Promise<void> {
    this.#is(UNKNOWN);
    await this.join();
  }

  /** Does it, and gives how many milliseconds to wait before the next; what goes wrong is told. */
  async #tried(turn: () => Promise<number>): Promise<number> {
    try {
      return await turn();
    } catch (error) {
      // A line that breaks in the middle of a stream is the browser's own error.
      const problem = error instanceof Problem ? error : offline();
      this.#failed(problem);
      return problem.retryAfterSeconds === null ? RECONNECT_MS : problem.retryAfterSeconds * 1000;
    }
  }

  async #turn(signal: AbortSignal): Promise<number> {
    const { place } = this.standing;
    if (place === null) {
      this.#know(await this.#source.join());
      return 0;
    }
    if (this.#looks > 0) {
      this.#looks -= 1;
      return this.#know(await this.#source.look(place.ticket));
    }
    const told = await this.#source.follow(place.ticket, signal).catch((error: unknown) => {
      if (error instanceof Problem && error.status >= 500) return null; // there is no room for a stream
      throw error;
    });
    if (told === null) {
      this.#looks = LOOKS_WITHOUT_STREAM;
      return 0;
    }
    for await (const each of told) {
      if (signal.aborted || this.isDone) return 0;
      if (each.kind === 'place') this.#know(each.place);
      else this.#failed(each.problem);
    }
    return RECONNECT_MS; // a stream ends with its token, and is asked for again with a new one
  }

  /** Gives how many milliseconds to wait before looking again. */
  #know(place: Place): number {
    this.#is({ place, interrupted: null, end: null });
    return place.look_again_seconds * 1000;
  }

  #failed(problem: Problem): void {
    if (this.isDone) return;
    const { place } = this.standing;
    const mayPass = problem.isUncertain || problem.status === 429 || problem.status === 401;
    if (mayPass) this.#is({ place, interrupted: problem.document, end: null });
    else if (problem.code === FORGOTTEN) this.#is(UNKNOWN);
    else this.#is({ ...UNKNOWN, end: problem.document });
  }

  #is(standing: Standing): void {
    this.hear(standing);
    this.#pass(standing);
  }
}
