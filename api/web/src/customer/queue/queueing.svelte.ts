/**
 * A customer's place in line, as a page shows it. Of several tabs one follows it and tells the others, as with a house's stream
 * (`seats/live/shared.ts`), but hidden or not: whoever waits looks at something else meanwhile.
 *
 * A browser stops tabs that nobody sees as it likes: a tab that has been told nothing for long looks for itself.
 */

import { session } from '../../api/session.svelte.ts';
import { Line, type Standing, UNKNOWN } from './line.ts';
import { sourceOf } from './source.ts';

const SILENT_MS = 45_000;

export class Queueing {
  standing = $state.raw<Standing>(UNKNOWN);
  readonly #line: Line;
  readonly #name: string;
  readonly #ending = new AbortController();
  #channel: BroadcastChannel | null = null;
  #heardAt = Date.now();
  #isKept = false;

  constructor(scheduleId: string) {
    this.#name = `boxoffice.queue.${scheduleId}.${session.account?.id ?? ''}`;
    this.#line = new Line(sourceOf(scheduleId), (standing) => this.#heard(standing), (standing) => this.#channel?.postMessage(standing));
  }

  /** Stands in line. Gives what ends the page's part in it; the place stays. */
  start(): () => void {
    if (typeof BroadcastChannel !== 'undefined') {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.addEventListener('message', (event: MessageEvent<Standing>) => this.#line.hear(event.data));
    }
    void this.#line.join().then(() => this.#keep());
    const timer = setInterval(() => void this.#lookWhereNothingIsHeard(), SILENT_MS / 3);
    return () => {
      clearInterval(timer);
      this.#ending.abort();
      this.#channel?.close();
      this.#channel = null;
    };
  }

  leave(): Promise<void> {
    return this.#line.leave();
  }

  async joinAnew(): Promise<void> {
    await this.#line.joinAnew();
    this.#keep();
  }

  #heard(standing: Standing): void {
    this.standing = standing;
    this.#heardAt = Date.now();
  }

  async #lookWhereNothingIsHeard(): Promise<void> {
    this.#keep();
    if (!document.hidden && Date.now() - this.#heardAt > SILENT_MS) await this.#line.look();
  }

  /** Follows the place, in this tab or as soon as the one that does is gone. */
  #keep(): void {
    const { signal } = this.#ending;
    if (this.#isKept || signal.aborted || this.#line.isDone) return;
    this.#isKept = true;
    const following = () => this.#line.follow(signal);
    void ('locks' in navigator ? navigator.locks.request(this.#name, { signal }, following) : following())
      .catch(() => undefined) // the page is left
      .finally(() => (this.#isKept = false));
  }
}
