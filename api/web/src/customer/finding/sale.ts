/** Where a sale stands, for a reader, and when only few places are left. */

import type { Performance, Schedule } from '../../api/shapes.ts';

/** The API's states, and whether much is left. */
export type SaleState = 'on_sale' | 'few_left' | 'sold_out' | 'scheduled' | 'closed' | 'ended' | 'cancelled' | 'none';

// A tenth of the house, as its organizer is told that it is nearly sold out. Of an arena that would be a whole block, where
// nobody need hurry; of a studio a seat or two, which is late for a family, though half of a house is never few.
const FEW_PART = 1 / 10;
const FEW_MOST = 300;
const FEW_LEAST = 4;

export function areFew(left: number, capacity: number): boolean {
  const least = Math.min(FEW_LEAST, capacity / 2);
  return left > 0 && left <= Math.min(FEW_MOST, Math.max(capacity * FEW_PART, least));
}

/** How the sale of all dates together stands. */
export function saleOfAll({ sale, seats_left, capacity_on_sale }: Pick<Performance, 'sale' | 'seats_left' | 'capacity_on_sale'>): SaleState {
  if (sale === null) return 'none';
  const isFew = seats_left !== null && capacity_on_sale !== null && areFew(seats_left, capacity_on_sale);
  return sale.state === 'on_sale' && isFew ? 'few_left' : sale.state;
}

/** How one date's sale stands at `now` (the server's time): an opening or closing that has passed counts at once. */
export function saleOf({ sale, seats_left, capacity }: Pick<Schedule, 'sale' | 'seats_left' | 'capacity'>, now: number): SaleState {
  const { state, opens_at, closes_at } = sale;
  const open = state === 'on_sale' || (state === 'scheduled' && opens_at !== null && Date.parse(opens_at) <= now);
  if (!open) return state as SaleState;
  if (Date.parse(closes_at) <= now) return 'closed';
  if (seats_left === null || capacity === null) return 'on_sale';
  const left = inAll(seats_left);
  if (left === 0) return 'sold_out';
  return areFew(left, inAll(capacity)) ? 'few_left' : 'on_sale';
}

/** Places of all categories together. */
export function inAll(places: Readonly<Record<string, number>>): number {
  return Object.values(places).reduce((sum, each) => sum + each, 0);
}
