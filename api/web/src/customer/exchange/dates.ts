/** Which dates of a run a booking's seats can be of. */

import type { Booking, Schedule } from '../../api/shapes.ts';
import { inAll, saleOf } from '../finding/sale.ts';

export interface PossibleDate {
  readonly id: string;
  readonly starts_at: string;
  readonly time_zone: string;
  readonly venue_name: string;
  /** How many seats can be had; null where nobody has counted. */
  readonly left: number | null;
}

/** The booking's own date first, then the others whose seats are on sale at `now`, and those whose are all taken. */
export function possibleDates({ schedule_id: id, schedule }: Pick<Booking, 'schedule_id' | 'schedule'>, run: readonly Schedule[], now: number): readonly PossibleDate[] {
  const others = run.flatMap((date) => {
    const sale = saleOf(date, now);
    if (date.id === id || (sale !== 'on_sale' && sale !== 'few_left' && sale !== 'sold_out')) return [];
    return [{ ...date, left: date.seats_left === null ? null : inAll(date.seats_left) }];
  });
  return schedule === null ? others : [{ id, ...schedule, left: null }, ...others];
}
