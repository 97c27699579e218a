/** Who is behind a booking's id, and which bookings a name, a number or a seat leads to; asked once each. */

import { answer, api } from '../../api/client.ts';
import type { Answer } from '../../api/shapes.ts';

export type Booked = Answer<'/v1/organizer/schedules/{schedule_id}/bookings'>['items'][number];
const FOUND = 8;

export class Buyers {
  readonly #scheduleId: string;
  readonly #known = new Map<string, Promise<Booked | null>>();

  constructor(scheduleId: string) {
    this.#scheduleId = scheduleId;
  }

  /** The booking with this id. Throws a `Problem`. */
  of(bookingId: string): Promise<Booked | null> {
    let asked = this.#known.get(bookingId);
    if (asked === undefined) {
      asked = this.find(bookingId).then(([found]) => found ?? null);
      asked.catch(() => this.#known.delete(bookingId));
      this.#known.set(bookingId, asked);
    }
    return asked;
  }

  /** The first bookings that fit. Throws a `Problem`. */
  async find(q: string): Promise<readonly Booked[]> {
    const params = { path: { schedule_id: this.#scheduleId }, query: { q, limit: FOUND } };
    return (await answer(api.GET('/v1/organizer/schedules/{schedule_id}/bookings', { params }))).items;
  }
}
