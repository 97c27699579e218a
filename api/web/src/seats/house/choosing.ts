/** Many seats at once: those inside of a drawn line, a row, a section. Pure; seats are numbers in the layout's order. */

import type { Point } from './camera.ts';
import type { Grid } from './grid.ts';
import { around, type Layout, type Stretch, rowAt } from './layout.ts';

/** What a press on a seat chooses. */
export type Reach = 'seat' | 'row' | 'section';

/** The seats whose middle is inside of the line, closed from its last point to its first; crossing itself, by even and odd. */
export function seatsInside(line: readonly Point[], layout: Layout, grid: Grid): number[] {
  if (line.length < 3) return [];
  const box = around(line.map(({ x, y }) => ({ left: x, top: y, right: x, bottom: y })));
  const found: number[] = [];
  grid.within(box, (seat) => {
    if (isInside({ x: layout.x[seat] ?? 0, y: layout.y[seat] ?? 0 }, line)) found.push(seat);
  });
  return found.sort((one, other) => one - other);
}

function isInside({ x, y }: Point, line: readonly Point[]): boolean {
  let inside = false;
  let before = line.at(-1);
  for (const point of line) {
    if (before !== undefined && point.y > y !== before.y > y) {
      const crossing = point.x + ((y - point.y) / (before.y - point.y)) * (before.x - point.x);
      if (x < crossing) inside = !inside;
    }
    before = point;
  }
  return inside;
}

/** A seat, its whole row or its whole section. */
export function reached(seat: number, reach: Reach, layout: Layout): number[] {
  const row = rowAt(layout, seat);
  if (reach === 'seat') return [seat];
  return reach === 'row' ? seatsOf(row) : (layout.zones[row.zone]?.rows ?? []).flatMap(seatsOf);
}

export function seatsOf({ first, count }: Stretch): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

/** With these as well; where all of them were chosen already, without them. */
export function toggled(chosen: ReadonlySet<number>, seats: readonly number[]): ReadonlySet<number> {
  const all = seats.every((seat) => chosen.has(seat));
  const next = new Set(chosen);
  for (const seat of seats) {
    if (all) next.delete(seat);
    else next.add(seat);
  }
  return next;
}
