/**
 * How every place of a house stands, at one version of its journal.
 *
 * Live, the version only rises (`show` alone goes back). A change that does not follow the version here is told as a gap (`apply` gives null), and the
 * caller reads all states again; one that is known already changes nothing. Counts per zone and category are kept up to
 * date change by change, so that nothing here takes longer in a larger house.
 */

import type { Layout } from './layout.ts';

export const FREE = 0;
export const HELD = 1;
export const SOLD = 2;
export const BLOCKED = 3;
export type State = 0 | 1 | 2 | 3;

/** Places of a standing area in each state, in the order of the states. */
export type Counts = readonly [number, number, number, number];

/** Every state, as `GET …/states` and the packed stream's `snapshot` have them. */
export interface Snapshot {
  readonly version: number;
  readonly seats: string;
  readonly areas: readonly (readonly number[])[];
}

/** How every place stands at a moment, unpacked; of each standing area the places in each state. */
export interface Moment {
  readonly version: number;
  readonly seats: Uint8Array;
  readonly areas: readonly (readonly number[])[];
}

/** What changed after the version `from`; states are absolute. */
export interface Delta {
  readonly from: number;
  readonly version: number;
  readonly seats: readonly (readonly number[])[];
  readonly areas: readonly (readonly [number, readonly number[]])[];
}

/** What is different now: seats by number, and whether any standing area is. */
export interface Changed {
  readonly seats: readonly number[];
  readonly areas: boolean;
}

export class States {
  version = -1;
  readonly seats: Uint8Array;
  readonly areas: Counts[];
  readonly #layout: Layout;
  /** Free places by zone, then by category. */
  readonly #free: Int32Array;

  /** Until anything is known, everything is free. */
  constructor(layout: Layout) {
    this.#layout = layout;
    this.seats = new Uint8Array(layout.size);
    this.areas = layout.areas.map(({ capacity }) => [capacity, 0, 0, 0]);
    this.#free = new Int32Array(layout.zones.length * layout.categories.length);
    this.#count();
  }

  /** Takes over all states, unless newer ones are here. Null: nothing has changed. */
  replace(snapshot: Snapshot): Changed | null {
    if (snapshot.version <= this.version) return null;
    return this.show({ ...snapshot, seats: unpacked(snapshot.seats, this.seats.length) });
  }

  /** Takes over how everything stands at a moment, earlier or later than what is here. */
  show(moment: Moment): Changed {
    const seats: number[] = [];
    moment.seats.forEach((state, seat) => state !== this.seats[seat] && seats.push(seat));
    this.seats.set(moment.seats);
    moment.areas.forEach((counts, area) => (this.areas[area] = fourOf(counts)));
    this.version = moment.version;
    this.#count();
    return { seats, areas: true };
  }

  /** Takes over what changed. Null: there is a gap before it, and nothing was taken. */
  apply(delta: Delta): Changed | null {
    if (delta.version <= this.version) return { seats: [], areas: false };
    if (delta.from > this.version) return null;
    const seats: number[] = [];
    for (const [seat = 0, state = 0] of delta.seats) {
      const before = this.seats[seat];
      if (before === undefined || before === state) continue;
      this.seats[seat] = state;
      this.#add(this.#placeOf(seat), Number(state === FREE) - Number(before === FREE));
      seats.push(seat);
    }
    for (const [area, counts] of delta.areas) {
      const before = this.areas[area];
      const of = this.#layout.areas[area];
      if (before === undefined || of === undefined) continue;
      this.areas[area] = fourOf(counts);
      this.#add(of.zone * this.#layout.categories.length + of.category, (counts[FREE] ?? 0) - before[FREE]);
    }
    this.version = delta.version;
    return { seats, areas: delta.areas.length > 0 };
  }

  isFree(seat: number): boolean {
    return this.seats[seat] === FREE;
  }

  freeInArea(area: number): number {
    return this.areas[area]?.[FREE] ?? 0;
  }

  /** Free places of the categories that count, in one zone or in all. */
  free(counts: (category: number) => boolean, zone?: number): number {
    const categories = this.#layout.categories.length;
    let sum = 0;
    for (let at = 0; at < this.#free.length; at += 1) {
      if (zone !== undefined && Math.floor(at / categories) !== zone) continue;
      if (counts(at % categories)) sum += this.#free[at] ?? 0;
    }
    return sum;
  }

  #placeOf(seat: number): number {
    const row = this.#layout.rows[this.#layout.rowOf[seat] ?? 0];
    return (row?.zone ?? 0) * this.#layout.categories.length + (this.#layout.categoryOf[seat] ?? 0);
  }

  #add(place: number, by: number): void {
    this.#free[place] = (this.#free[place] ?? 0) + by;
  }

  #count(): void {
    this.#free.fill(0);
    this.seats.forEach((state, seat) => state === FREE && this.#add(this.#placeOf(seat), 1));
    this.#layout.areas.forEach((area, index) =>
      this.#add(area.zone * this.#layout.categories.length + area.category, this.freeInArea(index)),
    );
  }
}

/** Base64 of two bits a seat, the first seat of a byte in its lowest bits. */
export function unpacked(text: string, count: number): Uint8Array {
  const bytes = atob(text);
  return Uint8Array.from({ length: count }, (_, seat) => (bytes.charCodeAt(seat >> 2) >> (2 * (seat & 3))) & 3);
}

function fourOf([free = 0, held = 0, sold = 0, blocked = 0]: readonly number[]): Counts {
  return [free, held, sold, blocked];
}
