/** How many free seats side by side there are. */

import type { Layout, Stretch } from './layout.ts';
import type { States } from './states.ts';

/** The most free seats side by side in a stretch, of the categories that count; aisles part them. */
export function most(layout: Layout, states: States, { first, count }: Stretch, counts: (category: number) => boolean): number {
  let best = 0;
  let together = 0;
  for (let seat = first; seat < first + count; seat += 1) {
    if (layout.runOf[seat] !== layout.runOf[seat - 1]) together = 0;
    together = states.isFree(seat) && counts(layout.categoryOf[seat] ?? 0) ? together + 1 : 0;
    best = Math.max(best, together);
  }
  return best;
}
