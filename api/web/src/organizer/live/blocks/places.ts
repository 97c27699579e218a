/** Many seats in few words: by section and row, what follows one another as a range (`3–7, 12`). */

import { type Layout, rowAt } from '../../../seats/house/layout.ts';

export interface RowOfPlaces {
  readonly zone: string;
  readonly row: string;
  readonly numbers: string;
  readonly seats: readonly number[];
}

/** Rows in the house's order; `seats` in any. */
export function rowsOf(layout: Layout, seats: Iterable<number>): readonly RowOfPlaces[] {
  const sorted = [...new Set(seats)].sort((one, other) => one - other);
  const groups: number[][] = [];
  for (const seat of sorted) {
    const group = groups.at(-1);
    if (group !== undefined && layout.rowOf[group[0] ?? -1] === layout.rowOf[seat]) group.push(seat);
    else groups.push([seat]);
  }
  return groups.map((group) => {
    const row = rowAt(layout, group[0] ?? 0);
    return { zone: layout.zones[row.zone]?.name ?? '', row: row.label, numbers: ranges(layout, group), seats: group };
  });
}

/** A range only where the numbers of the plan follow one another, too, as 3, 4, 5 or as 5, 4, 3. */
function ranges(layout: Layout, group: readonly number[]): string {
  const parts: string[] = [];
  let first = 0;
  const numberOf = (at: number) => layout.numbers[group[at] ?? -1] ?? '';
  for (let at = 1; at <= group.length; at += 1) {
    if (at < group.length && follows(layout, group, first, at)) continue;
    const [from, to] = [numberOf(first), numberOf(at - 1)];
    parts.push(...(at - first > 2 ? [`${from}–${to}`] : group.slice(first, at).map((_, index) => numberOf(first + index))));
    first = at;
  }
  return parts.join(', ');
}

function follows(layout: Layout, group: readonly number[], first: number, at: number): boolean {
  if ((group[at - 1] ?? 0) + 1 !== group[at]) return false;
  const number = (index: number) => Number(layout.numbers[group[index] ?? -1]);
  const step = number(at) - number(at - 1);
  return Math.abs(step) === 1 && (at - first < 2 || step === number(first + 1) - number(first));
}
