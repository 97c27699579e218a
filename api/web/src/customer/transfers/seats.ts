/** Seats of offers, as they are shown and chosen. */

import type { Seat, Transfer } from '../../api/shapes.ts';

/** What of a booking is in no open offer. Standing places share one id: as many stay as are not offered. */
export function unpromised(seats: readonly Seat[], open: readonly Transfer[]): readonly Seat[] {
  const promised = open.flatMap((transfer) => transfer.seats.map((seat) => seat.id));
  return seats.filter(({ id }) => {
    const at = promised.indexOf(id);
    if (at >= 0) promised.splice(at, 1);
    return at < 0;
  });
}
