/**
 * Tickets that open without a connection: a ticket that was shown is kept, with what shows it, until its owner logs out.
 *
 * Kept are answers, under the addresses they came from; never a token. What keeps the browser from doing so (a private window, a
 * full disk) keeps the ticket from opening offline and nothing else.
 */

import { send } from './client.ts';
import { CACHE } from './kept.ts';
import { session } from './session.svelte.ts';
import type { Booking } from './shapes.ts';

declare global {
  interface Window {
    /** Of Trusted Types this much is needed; browsers without them take strings. */
    readonly trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(): string }): { createScriptURL(url: string): string } };
  }
}

/** The one address of a script that is not in the markup. The policy's name is in the server's content security policy. */
const WORKER = `/sw.js?cache=${CACHE}`;
const policy = window.trustedTypes?.createPolicy('boxoffice', { createScriptURL: () => WORKER });

/** Has the browser ask the service worker first, from the next page on. */
export async function startWorker(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register(policy?.createScriptURL('') ?? WORKER).catch(() => undefined);
}

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
  const cache = await caches.open(CACHE);
  const loaded = performance
    .getEntriesByType('resource')
    .map((entry) => new URL(entry.name))
    .filter((url) => url.origin === location.origin && url.pathname.startsWith('/assets/'));
  await cache.addAll(['/', '/icon.svg', ...new Set(loaded.map((url) => url.pathname))]);
  await forgetTicket(bookingId); // of more places than there are now
  for (const [path, answer] of answers) await cache.put(path, answer);
  if (session.account?.id !== owner) await caches.delete(CACHE); // who has logged out meanwhile leaves nothing behind
}

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
  return 'caches' in window && (await caches.has(CACHE)) ? caches.open(CACHE) : undefined;
}
