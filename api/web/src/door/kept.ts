/**
 * What a door leaves in this browser so that its page comes back without a connection: the page itself, and all that codes are
 * judged by. Never a token: what was kept by a link lies under the link's digest, so that it comes back for whoever has the
 * link, and what was kept for who is logged in is forgotten when they log out (`api/session.svelte.ts`).
 *
 * Nothing lies here for longer than the door may be worked. A browser that keeps nothing (a private window, a full disk) lets
 * people in all the same, as long as the page stays open.
 */

import { DOORS } from '../api/kept/names.ts';
import { keepShell } from '../api/kept/shell.ts';
import { serverClock } from '../api/clock.ts';
import { session } from '../api/session.svelte.ts';
import type { Schedule } from '../api/shapes.ts';
import { fetchDecoder } from './camera.ts';
import type { ListedTicket } from './offline.ts';
import type { Counts } from './server.ts';

export interface Opened {
  readonly schedule: Schedule;
  readonly key: JsonWebKey;
  readonly counts: Counts;
  readonly list: readonly ListedTicket[];
  readonly listedAt: number;
}

const SHELL = '/door'; // as the service worker looks for it (`worker.ts`)
const AFTER_END_MS = 6 * 60 * 60_000; // as long as a link that names no end
const ENDS = 'Expires';

export class KeptDoor {
  readonly #scheduleId: string;
  readonly #token: string | null;
  /** Whether the page itself is kept as it runs here. */
  #whole = false;

  constructor(scheduleId: string, token: string | null) {
    this.#scheduleId = scheduleId;
    this.#token = token;
  }

  /** Keeps the page and what it goes by. Whether it will come back without a connection. */
  async keep(opened: Opened): Promise<boolean> {
    const link = opened.counts.link_expires_at;
    const ends = link === null ? Date.parse(opened.schedule.ends_at) + AFTER_END_MS : Date.parse(link);
    try {
      if (ends <= serverClock.now() || !(await hasWorker())) return false;
      const owner = session.account?.id;
      if (this.#token === null && owner === undefined) return false;
      await fetchDecoder();
      const cache = await caches.open(DOORS);
      if (!this.#whole || (await cache.match(SHELL)) === undefined) this.#whole = await keepShell(cache, location.pathname, SHELL);
      const headers = { [ENDS]: new Date(ends).toUTCString() };
      await cache.put(await this.#name(), new Response(JSON.stringify(opened), { headers }));
      if (this.#token === null && session.account?.id !== owner) await caches.delete(DOORS); // who has logged out meanwhile leaves nothing behind
      return this.#whole;
    } catch {
      return false;
    }
  }

  /** What was kept, if it may still be used. What may not, of any door, is forgotten. */
  async back(): Promise<Opened | null> {
    try {
      if (!(await caches.has(DOORS))) return null; // opening it would make it
      const cache = await caches.open(DOORS);
      for (const request of await cache.keys()) {
        if (!new URL(request.url).pathname.startsWith(`${SHELL}/`)) continue;
        const ends = (await cache.match(request))?.headers.get(ENDS) ?? null;
        if (ends !== null && Date.parse(ends) <= serverClock.now()) await cache.delete(request);
      }
      const found = await cache.match(await this.#name());
      return found === undefined ? null : ((await found.json()) as Opened);
    } catch {
      return null;
    }
  }

  /** Forgets what was kept by this link, or for who is logged in. */
  async forget(): Promise<void> {
    try {
      if (await caches.has(DOORS)) await (await caches.open(DOORS)).delete(await this.#name());
    } catch {
      // A browser that keeps nothing has nothing to forget.
    }
  }

  async #name(): Promise<string> {
    const whose = this.#token === null ? 'account' : await digest(this.#token);
    return `${SHELL}/${encodeURIComponent(this.#scheduleId)}/${whose}`;
  }
}

/** Whether somebody serves what is kept: browsers give no service worker to pages that come by plain http from elsewhere. */
async function hasWorker(): Promise<boolean> {
  if ((await navigator.serviceWorker?.getRegistration()) === undefined) return false;
  await navigator.serviceWorker.ready;
  return true;
}

async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
