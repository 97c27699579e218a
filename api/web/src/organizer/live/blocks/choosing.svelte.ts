/** The places that an organizer has chosen to do something with, on the map or from the list: one selection for both. */

import { type Reach, reached, seatsInside, toggled } from '../../../seats/house/choosing.ts';
import type { Point } from '../../../seats/house/camera.ts';
import { BLOCKED, FREE } from '../../../seats/house/states.ts';
import type { LiveHouse } from '../../../seats/house.svelte.ts';

export class Choosing {
  readonly house: LiveHouse;
  reach = $state<Reach | 'lasso'>('seat');
  seats = $state.raw<ReadonlySet<number>>(new Set());
  /** How many places of each standing area. */
  areas = $state.raw<readonly number[]>([]);

  /** The chosen seats by how they stand now: free, held, sold, blocked. */
  readonly byState = $derived.by(() => {
    void this.house.version;
    const by: [number[], number[], number[], number[]] = [[], [], [], []];
    for (const seat of this.seats) by[(this.house.states.seats[seat] ?? FREE) as 0 | 1 | 2 | 3].push(seat);
    return by;
  });
  readonly count = $derived(this.seats.size + this.areas.reduce((sum, each) => sum + each, 0));
  /** Ids of all that is chosen and not blocked yet, a standing area's once per place. */
  readonly toBlock = $derived([...this.#idsOf([...this.byState[0], ...this.byState[1], ...this.byState[2]]), ...this.#standing()]);
  /** Ids of all that is chosen and blocked. */
  readonly toUnblock = $derived([...this.#idsOf(this.byState[3]), ...this.#standing(BLOCKED)]);

  constructor(house: LiveHouse) {
    this.house = house;
    this.areas = house.layout.areas.map(() => 0);
  }

  toggle(seats: readonly number[]): void {
    if (seats.length > 0) this.seats = toggled(this.seats, seats);
  }

  press(seat: number): void {
    this.toggle(reached(seat, this.reach === 'lasso' ? 'seat' : this.reach, this.house.layout));
  }

  draw(line: readonly Point[]): void {
    this.toggle(seatsInside(line, this.house.layout, this.house.grid));
  }

  stand(area: number, count: number): void {
    const most = this.house.layout.areas[area]?.capacity ?? 0;
    this.areas = this.areas.map((each, index) => (index === area ? Math.min(most, Math.max(0, Math.floor(count) || 0)) : each));
  }

  clear(): void {
    this.seats = new Set();
    this.areas = this.areas.map(() => 0);
  }

  /** Chooses exactly these: seats, and standing areas once per place. */
  choose(ids: readonly string[]): void {
    this.seats = new Set(this.house.numbersOf(ids));
    this.areas = this.house.layout.areas.map(({ id }) => ids.filter((each) => each === id).length);
  }

  /** Lets go of what is held or sold. */
  leaveOutTaken(): void {
    this.seats = new Set([...this.byState[0], ...this.byState[3]]);
  }

  #idsOf(seats: readonly number[]): string[] {
    return seats.flatMap((seat) => this.house.layout.ids[seat] ?? []);
  }

  #standing(state?: number): string[] {
    void this.house.version;
    return this.house.layout.areas.flatMap(({ id }, area) => {
      const there = state === undefined ? Infinity : (this.house.states.areas[area]?.[state] ?? 0);
      return Array.from({ length: Math.min(there, this.areas[area] ?? 0) }, () => id);
    });
  }
}
