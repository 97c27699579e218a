/**
 * How many places of each category stand how, counted off the map: seats and standing room together. A place that nobody has and
 * nobody can have, its category not being for sale, is none of the sale's.
 */

import type { Layout } from '../../../seats/house/layout.ts';
import { BLOCKED, FREE, HELD, SOLD, type States } from '../../../seats/house/states.ts';

export interface Tally {
  readonly name: string;
  readonly capacity: number;
  readonly free: number;
  readonly held: number;
  readonly sold: number;
  readonly blocked: number;
}

export function tallied(layout: Layout, states: States, isForSale: (category: number) => boolean): readonly Tally[] {
  const counts = layout.categories.map(() => [0, 0, 0, 0]);
  const add = (category: number, state: number, count: number) => {
    const of = counts[category];
    if (of !== undefined) of[state] = (of[state] ?? 0) + count;
  };
  states.seats.forEach((state, seat) => add(layout.categoryOf[seat] ?? 0, state, 1));
  layout.areas.forEach(({ category }, area) => states.areas[area]?.forEach((count, state) => add(category, state, count)));
  return layout.categories.map(({ name }, category) => {
    const of = (state: number) => counts[category]?.[state] ?? 0;
    const free = isForSale(category) ? of(FREE) : 0;
    const [held, sold, blocked] = [of(HELD), of(SOLD), of(BLOCKED)];
    return { name, capacity: free + held + sold + blocked, free, held, sold, blocked };
  });
}

export function inAll(tallies: readonly Tally[], name: string): Tally {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((so, tally) => so + of(tally), 0);
  return {
    name,
    capacity: sum(({ capacity }) => capacity),
    free: sum(({ free }) => free),
    held: sum(({ held }) => held),
    sold: sum(({ sold }) => sold),
    blocked: sum(({ blocked }) => blocked),
  };
}
