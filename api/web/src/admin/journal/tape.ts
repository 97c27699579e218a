/**
 * A schedule's journal as a tape: the house at any version, from pages that were read in any order.
 *
 *     tape.add(page)                  as `GET …/history` answers it
 *     tape.has(version)               whether the house at that version can be shown
 *     tape.at(version)                the house then: every place's state, and whose it was
 *
 * Every `FRAME` versions the whole house is kept, so that a move to anywhere applies that many steps at most: a few
 * microseconds each, and no request.
 */

import { HELD, SOLD, unpacked, type Moment } from '../../seats/house/states.ts';

export interface Step {
  readonly version: number;
  readonly at: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly seats: readonly (readonly number[])[];
  readonly areas: readonly (readonly number[])[];
  /** What `data.booking_id` owns from here on; null: as before. */
  readonly places: readonly number[] | null;
}

export interface TapePage {
  readonly newest: number;
  readonly before: {
    readonly version: number;
    readonly seats: string;
    readonly areas: readonly (readonly number[])[];
    readonly bookings: readonly { readonly id: string; readonly customer_id: string; readonly places: readonly number[] }[];
  };
  readonly items: readonly Step[];
}

interface Shot {
  version: number;
  readonly seats: Uint8Array;
  areas: (readonly number[])[];
  /** Whose each seat is: a number of `Tape.bookings`; 0: nobody's. */
  readonly owners: Uint32Array;
}

export const FRAME = 250;
const NOBODY = 0;

export class Tape {
  /** The newest version, as far as it is known. */
  newest = 0;
  /** Ids of bookings by the numbers that seats have for them. */
  readonly bookings: string[] = [''];
  readonly #numbers = new Map<string, number>();
  readonly #size: number;
  readonly #steps: Step[] = []; // by version; with holes
  readonly #frames = new Map<number, Shot>();
  #count = 0;
  #now: Shot | null = null;

  constructor(size: number) {
    this.#size = size;
  }

  /** Steps that were read. */
  get count(): number {
    return this.#count;
  }

  add({ newest, before, items }: TapePage): void {
    this.newest = Math.max(this.newest, newest);
    const shot: Shot = {
      version: before.version,
      seats: unpacked(before.seats, this.#size),
      areas: before.areas.map((counts) => [...counts]),
      owners: new Uint32Array(this.#size),
    };
    for (const { id, places } of before.bookings) this.#own(shot, id, places);
    this.#keep(shot);
    for (const step of items) {
      if (this.#steps[step.version] === undefined) this.#count += 1;
      this.#steps[step.version] = step;
      this.#apply(shot, step);
      if (step.version % FRAME === 0) this.#keep(shot);
    }
  }

  has(version: number): boolean {
    return this.#start(version) !== null;
  }

  step(version: number): Step | undefined {
    return this.#steps[version];
  }

  /** The house at a version that is here. What is given is the tape's own, until the next call. */
  at(version: number): Moment & { readonly owners: Uint32Array } {
    const start = this.#start(version);
    if (start === null) throw new RangeError(`version ${version} was not read`);
    const shot = this.#now === start ? start : copied(start);
    for (let next = shot.version + 1; next <= version; next += 1) this.#apply(shot, this.#steps[next] as Step);
    return (this.#now = shot);
  }

  /** The version that was the newest at a time, among those that are here. */
  versionAt(time: number): number {
    let found = 0;
    this.#steps.forEach((step) => {
      if (Date.parse(step.at) <= time) found = Math.max(found, step.version);
    });
    return found;
  }

  /** What is here of a booking's story. */
  ofBooking(id: string): Step[] {
    return this.#steps.filter((step) => step.data['booking_id'] === id);
  }

  /** What is here of a seat's story: every step after which it stood differently or was somebody else's. */
  ofSeat(seat: number): Step[] {
    return this.#steps.filter((step) => step.seats.some(([place]) => place === seat) || step.places?.includes(seat));
  }

  /** From where the version is reached in the fewest steps; null where steps are missing. */
  #start(version: number): Shot | null {
    if (version < 0 || version > this.newest) return null;
    const best = this.#now !== null && this.#now.version <= version ? this.#now : null;
    for (let at = version; at >= Math.max(0, version - FRAME); at -= 1) {
      if (best !== null && best.version >= at) return best;
      const frame = this.#frames.get(at);
      if (frame !== undefined) return frame;
      if (this.#steps[at] === undefined) return null;
    }
    return best !== null && this.#whole(best.version, version) ? best : null;
  }

  #whole(from: number, to: number): boolean {
    for (let at = from + 1; at <= to; at += 1) if (this.#steps[at] === undefined) return false;
    return true;
  }

  #keep(shot: Shot): void {
    if (!this.#frames.has(shot.version)) this.#frames.set(shot.version, copied(shot));
  }

  #apply(shot: Shot, step: Step): void {
    for (const [place = 0, state = 0] of step.seats) {
      shot.seats[place] = state;
      if (state !== HELD && state !== SOLD) shot.owners[place] = NOBODY;
    }
    for (const [area = 0, ...counts] of step.areas) shot.areas[area] = counts;
    if (step.places !== null) this.#own(shot, String(step.data['booking_id']), step.places);
    shot.version = step.version;
  }

  #own(shot: Shot, id: string, places: readonly number[]): void {
    const number = this.#numberOf(id);
    for (const place of places) if (place < this.#size) shot.owners[place] = number;
  }

  #numberOf(id: string): number {
    let number = this.#numbers.get(id);
    if (number === undefined) {
      number = this.bookings.push(id) - 1;
      this.#numbers.set(id, number);
    }
    return number;
  }
}

function copied(shot: Shot): Shot {
  return { version: shot.version, seats: shot.seats.slice(), areas: [...shot.areas], owners: shot.owners.slice() };
}
