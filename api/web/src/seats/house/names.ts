/** What places are called, wherever one is named: by what stands on them. An id may be anything, and is for programs. */

import type { Seat } from '../../api/shapes.ts';
import { language } from '../../words/language.svelte.ts';

type Labelled = Pick<Seat, 'zone' | 'row' | 'number'>;

/** `Stalls, row 7 seat 12` */
export function nameOf({ zone, row, number }: Labelled): string {
  return language.words.seats.placeIn(zone, row, number);
}

/** All of them; standing places, which are called alike, counted. */
export function namesOf(places: readonly Labelled[]): string {
  const counted = new Map<string, number>();
  for (const name of places.map(nameOf)) counted.set(name, (counted.get(name) ?? 0) + 1);
  return [...counted].map(([name, count]) => (count === 1 ? name : `${name} × ${count}`)).join(' · ');
}
