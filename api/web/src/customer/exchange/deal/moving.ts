/** Seats of another date for a booking that is not paid for: in one step, and as another booking. */

import { answer, api } from '../../../api/client.ts';
import type { Booking } from '../../../api/shapes.ts';
import { letIn } from '../../queue/passes.ts';

/** Seats of another date for those of a booking, all or none: it is given back for the new one that this gives. */
export async function moveTo(booking_id: string, schedule_id: string, seats: readonly string[], key: string): Promise<Booking> {
  return letIn(schedule_id, async (pass) => {
    const params = { path: { booking_id }, header: { 'Idempotency-Key': key, 'Queue-Pass': pass } };
    return answer(api.PATCH('/v1/bookings/{booking_id}', { params, body: { schedule_id, seats: [...seats] } }));
  });
}
