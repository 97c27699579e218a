/**
 * The scans of one door on their way to the server, here and in the browser's storage. Each is in one state, and gone in the end:
 *
 * - `unsent`: the server cannot have it;
 * - `asked`: it is just being asked about it. `late`: whoever showed it was turned away before it has answered;
 * - `unsure`: it did not answer, and may have it. `unwanted`: whoever showed it was turned away: what it may have is to be undone;
 * - `untaken`: it takes it in no form. Whoever was let in on it is counted nowhere but here.
 */

import type { Admitted } from './offline.ts';
import type { StoredDoor } from './stored.ts';

export type State = 'unsent' | 'asked' | 'late' | 'unsure' | 'unwanted' | 'untaken';
type Steps = Partial<Record<State, State | 'gone'>>;

/** What happens to a scan, and what that makes of it; where its state is not named it stays as it is. */
const ASKED: Steps = { unsent: 'asked', unsure: 'asked' };
const UNANSWERED: Steps = { asked: 'unsure', late: 'unwanted' };
const NOT_TAKEN: Steps = { asked: 'untaken', late: 'gone', unwanted: 'gone' };
const TURNED_AWAY: Steps = { unsent: 'gone', asked: 'late', unsure: 'unwanted', untaken: 'gone' };
const ENDED: Steps = { unsent: 'gone', asked: 'gone', late: 'gone', unsure: 'gone', unwanted: 'gone', untaken: 'gone' };

export interface Scan {
  readonly id: string;
  readonly code?: string;
  readonly bookingId?: string;
  readonly places: number | null;
  readonly gate: string | null;
  readonly at: string;
  /** By how much the server's clock was known to be ahead of this phone's then, in milliseconds. */
  readonly ahead?: number;
  /** That nobody was let in on it here, or was taken back: what the server makes of it, if it has it, is to be undone. */
  readonly turnedAway?: boolean;
  /** Whom this phone has let in on it by itself. */
  readonly admitted?: Admitted;
}

interface Way {
  readonly scan: Scan;
  readonly state: State;
}

const BATCH = 200;

export class Scans {
  /** Whether some wait that this browser has no room for. */
  crowded = false;
  readonly #stored: StoredDoor;
  readonly #tell: () => void;
  readonly #all = new Map<string, Way>();

  /** `tell` is called whenever anything here has changed. */
  constructor(stored: StoredDoor, tell: () => void) {
    this.#stored = stored;
    this.#tell = tell;
    // Of an earlier visit, or of another tab: it may have sent them.
    for (const scan of stored.waiting()) this.#all.set(scan.id, { scan, state: scan.turnedAway ? 'unwanted' : 'unsure' });
  }

  /** What is to be sent, in the order in which it was read. */
  get waiting(): readonly Scan[] {
    return [...this.#all.values()].flatMap(({ scan, state }) => (state === 'untaken' ? [] : [scan]));
  }

  /** On these somebody was let in, and the server takes them in no form. */
  get uncounted(): readonly Scan[] {
    return [...this.#all.values()].flatMap(({ scan, state }) => (state === 'untaken' && scan.admitted !== undefined ? [scan] : []));
  }

  /** Who was let in here, or in another tab at this door, and is not counted by the server yet. */
  get inside(): readonly Admitted[] {
    const beside = this.#stored.waiting().filter(({ id }) => !this.#all.has(id));
    const scans = [...this.#all.values()].map(({ scan }) => scan);
    return [...scans, ...beside].flatMap(({ admitted, turnedAway }) => (admitted === undefined || turnedAway ? [] : [admitted]));
  }

  /** A scan and how far it is; undefined where its way is over. */
  of(id: string): Way | undefined {
    return this.#all.get(id);
  }

  read(scan: Scan): void {
    this.#put(scan, 'unsent');
  }

  letIn(id: string, admitted: Admitted): void {
    this.#step(id, {}, { admitted });
  }

  /** Nobody comes in by this scan. What the server cannot have it does not get; of what it may have its word is awaited. */
  turnAway(id: string): void {
    this.#step(id, TURNED_AWAY, { turnedAway: true });
  }

  /** The server has had its say, or nobody comes in here any more. */
  end(id: string): void {
    this.#step(id, ENDED);
  }

  /**
   * Asks about what waits, one batch at a time, until nothing does: `ask` says whether the server takes it so, and ends whatever
   * that has answered. One that is no scan must not hold up the others. Throws what `ask` throws: nobody answers. So it does
   * where all that is answered is something else, or it would ask on and on.
   */
  async send(ask: (batch: readonly Scan[]) => Promise<boolean>): Promise<void> {
    let most = BATCH;
    try {
      while (this.waiting.length > 0) {
        const batch = this.waiting.slice(0, most);
        for (const { id } of batch) this.#step(id, ASKED);
        const isAlone = batch.length === 1;
        if ((await ask(batch)) || (isAlone && (await ask(batch.map(bare))))) {
          if (batch.every(({ id }) => this.#all.has(id))) throw new Error('none of what was asked about is answered');
          continue;
        }
        most = Math.ceil(batch.length / 2);
        if (isAlone) for (const { id } of batch) this.#step(id, NOT_TAKEN);
      }
    } catch (error) {
      for (const id of this.#all.keys()) this.#step(id, UNANSWERED);
      throw error;
    }
  }

  #step(id: string, steps: Steps, more?: Partial<Scan>): void {
    const one = this.#all.get(id);
    if (one !== undefined) this.#put(more === undefined ? one.scan : { ...one.scan, ...more }, steps[one.state] ?? one.state);
  }

  #put(scan: Scan, state: State | 'gone'): void {
    const isNew = this.#all.get(scan.id)?.scan !== scan;
    if (state === 'gone') this.#all.delete(scan.id);
    else this.#all.set(scan.id, { scan, state });
    if (state === 'gone' || state === 'untaken') this.#stored.sent(scan.id);
    else if (isNew && !this.#stored.wait(scan)) this.crowded = true; // what is as it was another tab may have sent
    this.crowded &&= this.waiting.length > 0;
    this.#tell();
  }
}

/** A scan without what may not be taken: when it was, by a clock that nobody knows, and where. */
const bare = (scan: Scan): Scan => ({ ...scan, at: '', gate: null });
