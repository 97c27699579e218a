/**
 * The server's time as something a page can depend on, a tick every half second, only while somebody looks at it.
 *
 *     const left = $derived(deadline - ticking.now)
 */

import { createSubscriber } from 'svelte/reactivity';
import { serverClock } from '../api/clock.ts';

const TICK_MS = 500;

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, TICK_MS);
  return () => clearInterval(timer);
});

export const ticking = {
  /** Milliseconds, by the server's clock. */
  get now(): number {
    subscribe();
    return serverClock.now();
  },
};
