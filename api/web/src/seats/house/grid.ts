/** Which seats are where: a grid of cells, so that a pointer and a part of the house find theirs without looking at all. */

import { type Box, type Layout, PITCH } from './layout.ts';

const CELL = 4 * PITCH; // a dozen seats a cell, and a few cells around a pointer

export class Grid {
  readonly #layout: Layout;
  readonly #left: number;
  readonly #top: number;
  readonly #columns: number;
  readonly #rows: number;
  /** The seats of cell c stand in `#seats` from `#starts[c]` to `#starts[c + 1]`. */
  readonly #starts: Uint32Array;
  readonly #seats: Uint32Array;

  constructor(layout: Layout) {
    this.#layout = layout;
    const { left, top, right, bottom } = layout.bounds;
    this.#left = left;
    this.#top = top;
    this.#columns = Math.max(1, Math.ceil((right - left + 1) / CELL));
    this.#rows = Math.max(1, Math.ceil((bottom - top + 1) / CELL));
    const counts = new Uint32Array(this.#columns * this.#rows + 1);
    const cells = Uint32Array.from({ length: layout.size }, (_, seat) => this.#cell(layout.x[seat] ?? 0, layout.y[seat] ?? 0));
    for (const cell of cells) counts[cell + 1] = (counts[cell + 1] ?? 0) + 1;
    for (let cell = 1; cell < counts.length; cell += 1) counts[cell] = (counts[cell] ?? 0) + (counts[cell - 1] ?? 0);
    this.#starts = counts;
    const next = counts.slice();
    this.#seats = new Uint32Array(layout.size);
    cells.forEach((cell, seat) => {
      const at = next[cell] ?? 0;
      this.#seats[at] = seat;
      next[cell] = at + 1;
    });
  }

  /** The nearest seat not farther than `reach` steps, or null. */
  nearest(x: number, y: number, reach: number): number | null {
    let found: number | null = null;
    let best = reach * reach;
    this.within({ left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }, (seat) => {
      const distance = ((this.#layout.x[seat] ?? 0) - x) ** 2 + ((this.#layout.y[seat] ?? 0) - y) ** 2;
      if (distance <= best) [best, found] = [distance, seat];
    });
    return found;
  }

  /** Calls `visit` for every seat in the box, and for some just outside of it. */
  within(box: Box, visit: (seat: number) => void): void {
    const [fromColumn, toColumn] = [this.#column(box.left), this.#column(box.right)];
    const [fromRow, toRow] = [this.#row(box.top), this.#row(box.bottom)];
    for (let row = fromRow; row <= toRow; row += 1) {
      const from = this.#starts[row * this.#columns + fromColumn] ?? 0;
      const to = this.#starts[row * this.#columns + toColumn + 1] ?? 0;
      for (let at = from; at < to; at += 1) visit(this.#seats[at] ?? 0);
    }
  }

  #cell(x: number, y: number): number {
    return this.#row(y) * this.#columns + this.#column(x);
  }

  #column(x: number): number {
    return Math.min(this.#columns - 1, Math.max(0, Math.floor((x - this.#left) / CELL)));
  }

  #row(y: number): number {
    return Math.min(this.#rows - 1, Math.max(0, Math.floor((y - this.#top) / CELL)));
  }
}
