/** The tickets that are kept (`keeping.ts`): which they are, and that one is over. */

import type { Booking } from '../shapes.ts';
import { TICKETS } from './names.ts';

/** Forgets a ticket that opens no door any more. */
export async function forgetTicket(bookingId: string): Promise<void> {
  const cache = await opened();
  for (const request of (await cache?.keys()) ?? []) {
    if (new URL(request.url).pathname.startsWith(`/v1/bookings/${bookingId}`)) await cache?.delete(request);
  }
}

/** The bookings whose tickets are kept. */
export async function keptBookings(): Promise<readonly Booking[]> {
  const cache = await opened();
  const kept = ((await cache?.keys()) ?? []).filter(({ url }) => /^\/v1\/bookings\/[^/]+$/.test(new URL(url).pathname));
  const answers = await Promise.all(kept.map((request) => cache?.match(request)));
  return Promise.all(answers.flatMap((answer) => (answer === undefined ? [] : [answer.json() as Promise<Booking>])));
}

/** What is kept, if anything is: opening it would make it. */
async function opened(): Promise<Cache | undefined> {
  return 'caches' in window && (await caches.has(TICKETS)) ? caches.open(TICKETS) : undefined;
}
