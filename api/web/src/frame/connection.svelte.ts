/** Whether there is a connection, and whether newer pages are served than those that run here. */

import { version } from '../api/version.ts';
import { language } from '../words/language.svelte.ts';
import { notices } from './notices.svelte.ts';

const LOOK_AGAIN_MS = 5 * 60_000; // a tab that is come back to asks this often at most

class Connection {
  online = $state(navigator.onLine);
  newer = $state(false);
  #lookedAt = Date.now();

  changed(online: boolean): void {
    this.online = online;
    if (online) notices.say(language.words.frame.online);
  }

  async lookForNewer(): Promise<void> {
    if (document.hidden || this.newer || Date.now() - this.#lookedAt < LOOK_AGAIN_MS) return;
    this.#lookedAt = Date.now();
    this.newer = await this.isOutdated();
  }

  async isReachable(): Promise<boolean> {
    return fetch('/pages-version').then(({ ok }) => ok, () => false);
  }

  /** Whether other pages are served than those that run here. False without a connection. */
  async isOutdated(): Promise<boolean> {
    const served = await fetch('/pages-version').then((response) => response.text(), () => '');
    const mine = version();
    return served !== '' && mine !== undefined && served !== mine;
  }
}

export const connection = new Connection();
