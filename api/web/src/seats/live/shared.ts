/**
 * One stream per browser and schedule: of several tabs one keeps it, and tells the others.
 *
 * Browsers allow six connections to a server that speaks HTTP/1.1, so a stream a tab would stop the seventh tab. A lock says
 * whose turn it is; it passes on by itself when its tab is closed, or hidden, which counts as gone. A browser without locks
 * or channels keeps a stream a tab.
 */

import type { News } from './live.ts';

export interface Keeper {
  resume(): void;
  pause(): void;
  hear(news: News): void;
  refresh(): Promise<void>;
}

export class Shared {
  readonly #name: string;
  readonly #keeper: Keeper;
  #channel: BroadcastChannel | null;
  #letGo: (() => void) | null = null;
  #waiting: AbortController | null = null;
  #missed = false; // this tab was hidden: things may have happened that no other tab told it

  constructor(scheduleId: string, layout: string, keeper: Keeper) {
    this.#name = `boxoffice.seats.${scheduleId}.${layout}`;
    this.#keeper = keeper;
    this.#channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(this.#name);
    this.#channel?.addEventListener('message', (event: MessageEvent<News>) => keeper.hear(event.data));
  }

  /** Tells the other tabs. */
  readonly pass = (news: News): void => {
    this.#channel?.postMessage(news);
  };

  /** Follows the house as long as the page can be seen. Gives what ends it. */
  start(): () => void {
    const look = () => (document.hidden ? this.#stop() : this.#take());
    document.addEventListener('visibilitychange', look);
    look();
    return () => {
      document.removeEventListener('visibilitychange', look);
      this.#stop();
      this.#channel?.close();
      this.#channel = null;
    };
  }

  #take(): void {
    if (this.#waiting !== null) return;
    if (this.#missed) void this.#keeper.refresh();
    this.#missed = true;
    const waiting = new AbortController();
    this.#waiting = waiting;
    if (this.#channel === null || !('locks' in navigator)) {
      this.#keeper.resume();
      return;
    }
    void navigator.locks
      .request(this.#name, { signal: waiting.signal }, () => {
        this.#keeper.resume();
        return new Promise<void>((resolve) => (this.#letGo = resolve));
      })
      .catch(() => undefined); // the wait was ended: the tab is hidden
  }

  #stop(): void {
    this.#waiting?.abort();
    this.#waiting = null;
    this.#keeper.pause();
    this.#letGo?.();
    this.#letGo = null;
  }
}
