/**
 * Tickets that open without a connection: a ticket that was shown is kept, with what shows it, until its owner logs out.
 *
 * Kept are answers, under the addresses they came from; never a token. What keeps the browser from doing so (a private window, a
 * full disk) keeps the ticket from opening offline and nothing else.
 */

import { send } from './client.ts';
import { CACHE } from './kept.ts';

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

/** Keeps a paid booking, its ticket, and the pages as they are loaded now. */
export async function keepTicket(bookingId: string): Promise<void> {
  if (!('caches' in window)) return;
  const cache = await caches.open(CACHE);
  const loaded = performance
    .getEntriesByType('resource')
    .map((entry) => new URL(entry.name))
    .filter((url) => url.origin === location.origin && url.pathname.startsWith('/assets/'));
  await cache.addAll(['/', '/icon.svg', ...new Set(loaded.map((url) => url.pathname))]);
  const own: readonly (readonly [string, string])[] = [
    [`/v1/bookings/${bookingId}`, 'application/json'],
    [`/v1/bookings/${bookingId}/ticket`, 'image/svg+xml'],
  ];
  for (const [path, kind] of own) {
    const answer = await send(new Request(path, { headers: { Accept: kind } }));
    if (answer.ok) await cache.put(path, answer);
  }
}
