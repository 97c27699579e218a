/**
 * Which seats to offer instead of some that have gone, and which to move to so that nobody is left a lone seat.
 *
 * Both are offers and never a reason to refuse. They look at free seats as this page knows them; the server has the last word.
 */

import type { Layout } from './layout.ts';
import type { States } from './states.ts';

/** What a seat costs, by its category; null where it is not for sale. */
export type PriceOf = (category: number) => number | null;

/**
 * As many seats as were lost, side by side where possible, as near as possible to them and to those that are `kept`. Seats of
 * the same category are wanted; else those of the same price. Null where there aren't as many.
 */
export function nearest(
  layout: Layout,
  states: States,
  lost: readonly number[],
  kept: readonly number[],
  priceOf: PriceOf,
): readonly number[] | null {
  const first = lost[0];
  if (first === undefined) return null;
  const category = layout.categoryOf[first] ?? 0;
  const price = priceOf(category);
  const middle = middleOf(layout, [...lost, ...kept]);
  const mine = new Set(kept);
  const open = (seat: number) => states.isFree(seat) && !mine.has(seat) && !lost.includes(seat);
  const alike: readonly ((seat: number) => boolean)[] = [
    (seat) => open(seat) && layout.categoryOf[seat] === category,
    (seat) => open(seat) && priceOf(layout.categoryOf[seat] ?? 0) === price,
  ];
  for (const fits of alike) {
    const found = sideBySide(layout, lost.length, middle, fits) ?? scattered(layout, lost.length, middle, fits);
    if (found !== null) return found;
  }
  return null;
}

function sideBySide(layout: Layout, quantity: number, middle: At, fits: (seat: number) => boolean): readonly number[] | null {
  let best = Infinity;
  let found: number | null = null;
  for (const { first, count } of layout.runs) {
    let together = 0;
    for (let seat = first; seat < first + count; seat += 1) {
      together = fits(seat) ? together + 1 : 0;
      if (together < quantity) continue;
      const block = range(seat - quantity + 1, quantity);
      const distance = distanceOf(middleOf(layout, block), middle);
      if (distance < best) [best, found] = [distance, block[0] ?? null];
    }
  }
  return found === null ? null : range(found, quantity);
}

function scattered(layout: Layout, quantity: number, middle: At, fits: (seat: number) => boolean): readonly number[] | null {
  const seats = range(0, layout.size).filter(fits);
  if (seats.length < quantity) return null;
  const far = (seat: number) => distanceOf(middleOf(layout, [seat]), middle);
  return seats.sort((a, b) => far(a) - far(b)).slice(0, quantity);
}

/**
 * The same number of seats in the same run, moved by one, where my seats leave a single free seat beside them and those would
 * not. Null: no lone seat, or no better place for a group that sits together.
 */
export function withoutLoneSeat(layout: Layout, states: States, mine: readonly number[]): readonly number[] | null {
  const seats = [...mine].sort((a, b) => a - b);
  const first = seats[0];
  const last = seats[seats.length - 1];
  if (first === undefined || last === undefined || last - first !== seats.length - 1) return null;
  if (layout.runOf[first] !== layout.runOf[last]) return null;
  const own = new Set(seats);
  const open = (seat: number) => layout.runOf[seat] === layout.runOf[first] && (states.isFree(seat) || own.has(seat));
  const category = layout.categoryOf[first];
  const before = loneBeside(first, seats.length, open);
  if (before === 0) return null;
  for (const start of [first - 1, first + 1]) {
    const block = range(start, seats.length);
    if (!block.every((seat) => open(seat) && layout.categoryOf[seat] === category)) continue;
    if (loneBeside(start, seats.length, open) < before) return block;
  }
  return null;
}

/** How many open seats right beside the block have no open seat on their other side. */
function loneBeside(start: number, quantity: number, open: (seat: number) => boolean): number {
  const end = start + quantity;
  return Number(open(start - 1) && !open(start - 2)) + Number(open(end) && !open(end + 1));
}

interface At {
  readonly x: number;
  readonly y: number;
}

function middleOf(layout: Layout, seats: readonly number[]): At {
  let [x, y] = [0, 0];
  for (const seat of seats) {
    x += layout.x[seat] ?? 0;
    y += layout.y[seat] ?? 0;
  }
  return { x: x / seats.length, y: y / seats.length };
}

/** Squared: only compared. */
function distanceOf(a: At, b: At): number {
  return (a.x - b.x) ** 2 + (a.y - b.y) ** 2;
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
