/** The picker's way to hold: bookings by the API, under one `Idempotency-Key` for all tries of a wish. */

import { answer, api } from '../api/client.ts';
import { session } from '../api/session.svelte.ts';
import { Problem } from '../api/problem.ts';
import { keepWish } from '../customer/queue/kept.ts';
import { hold } from '../customer/queue/passes.ts';
import type { Held, Server, Wish } from './holds.ts';

const of = (booking_id: string, key: string) => ({ path: { booking_id }, header: { 'Idempotency-Key': key } });

export function serverOf(schedule_id: string): Server {
  return {
    demand: () => session.demand(),
    hold: async (wish, key) => {
      try {
        return await hold(schedule_id, bodyOf(wish), key);
      } catch (error) {
        if (error instanceof Problem && error.waitingRoom !== null) keepWish(schedule_id, wish);
        throw error;
      }
    },
    change: async (id, wish, key) => answer(api.PATCH('/v1/bookings/{booking_id}', { params: of(id, key), body: bodyOf(wish) })),
    release: async (id, key) => {
      await answer(api.POST('/v1/bookings/{booking_id}/cancellation', { params: of(id, key), body: {} }));
    },
    extend: async (id, key) => answer(api.POST('/v1/bookings/{booking_id}/extension', { params: of(id, key) })),
    wait: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000 * (1 + 0.3 * Math.random()))),
  };
}

function bodyOf(wish: Wish) {
  if ('seats' in wish) return { seats: [...wish.seats] };
  const { exclude, ...best } = wish;
  return exclude === undefined ? best : { ...best, exclude: [...exclude] };
}

/** What the customer holds of this schedule already, newest first: from an earlier visit, or another device. */
export async function heldBookings(schedule_id: string): Promise<readonly Held[]> {
  const page = await answer(api.GET('/v1/bookings', { params: { query: { schedule_id, status: 'held', limit: 10 } } }));
  return page.items as readonly Held[];
}

export async function readBooking(booking_id: string): Promise<Held> {
  return answer(api.GET('/v1/bookings/{booking_id}', { params: { path: { booking_id } } }));
}
