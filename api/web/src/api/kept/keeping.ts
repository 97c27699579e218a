/**
 * Tickets that open without a connection: a ticket that was shown is kept, with what shows it, until its owner logs out.
 *
 * Kept are answers, under the addresses they came from; never a token. What keeps the browser from doing so (a private window, a
 * full disk) keeps the ticket from opening offline and nothing else.
 */

import { send } from '../client.ts';
import { session } from '../session.svelte.ts';
import { TICKETS } from './names.ts';
import { keepShell } from './shell.ts';
import { forgetTicket } from './tickets.ts';

/** Keeps a paid booking, its ticket, the code of each of its places, and the pages as they are loaded now. */
export async function keepTicket(bookingId: string, places: number): Promise<void> {
  const owner = session.account?.id;
  if (!('caches' in window) || owner === undefined) return;
  const ticket = `/v1/bookings/${bookingId}/ticket`;
  const answers: (readonly [string, Response])[] = [];
  for (const path of [`/v1/bookings/${bookingId}`, ticket, ...Array.from({ length: places }, (_, index) => `${ticket}?place=${index + 1}`)]) {
    const answer = await send(new Request(path, { headers: { Accept: path.includes('/ticket') ? 'image/svg+xml' : 'application/json' } }));
    if (!answer.ok) return;
    answers.push([path, answer]);
  }
  const cache = await caches.open(TICKETS);
  await keepShell(cache, '/', '/');
  await forgetTicket(bookingId); // of more places than there are now
  for (const [path, answer] of answers) await cache.put(path, answer);
  if (session.account?.id !== owner) await caches.delete(TICKETS); // who has logged out meanwhile leaves nothing behind
}
