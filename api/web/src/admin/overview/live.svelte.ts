/**
 * The overview as it changes, once a second, only while somebody looks at it; and the last two minutes of its rates.
 *
 *     const live = new LiveOverview();      onMount(() => live.start());
 */

import { send } from '../../api/client.ts';
import { offline, Problem, problemOf } from '../../api/problem.ts';
import { EventReader } from '../../seats/live/events.ts';
import type { Overview } from '../server.ts';

const AGAIN_MS = 2_000;
const REMEMBERED = 120; // seconds

export class LiveOverview {
  value = $state.raw<Overview | undefined>();
  problem = $state.raw<Problem | undefined>();
  /** Bookings held and sold a second, the newest last. */
  past = $state.raw<readonly { readonly held: number; readonly sold: number }[]>([]);

  /** Follows it. Gives what ends that. */
  start(): () => void {
    let stop = this.#follow();
    const turned = () => {
      stop();
      if (!document.hidden) stop = this.#follow();
    };
    document.addEventListener('visibilitychange', turned);
    return () => {
      document.removeEventListener('visibilitychange', turned);
      stop();
    };
  }

  #follow(): () => void {
    const ending = new AbortController();
    void this.#run(ending.signal);
    return () => ending.abort();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let wait = AGAIN_MS;
      try {
        await this.#listen(signal); // it ends with its token, and is asked for again with a new one
        wait = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.problem = error instanceof Problem ? error : offline(); // a line that breaks is no problem of the server's
        if (this.problem.status === 403 || this.problem.status === 401) return;
        wait = Math.max(wait, (this.problem.retryAfterSeconds ?? 0) * 1_000);
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const response = await send(new Request('/v1/admin/overview/stream', { signal, cache: 'no-store' }));
    if (!response.ok || response.body === null) throw problemOf(response, await response.json().catch(() => null));
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const events = new EventReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const { data } of events.take(decoder.decode(value, { stream: true }))) this.#take(JSON.parse(data) as Overview);
    }
  }

  #take(overview: Overview): void {
    this.value = overview;
    this.problem = undefined;
    const { held, sold } = overview.rates;
    this.past = [...this.past, { held, sold }].slice(-REMEMBERED);
  }
}
