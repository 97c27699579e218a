/**
 * One door in the browser's own storage: the scans that wait to be sent, of what was sent whatever the kept list does not tell
 * yet, and which gate this is. Each scan has a key of its own: another tab at this door has its own, and neither writes over the other's.
 */

import type { News } from './offline.ts';
import type { Scan } from './scans.ts';
import { lasts } from '../storage.ts';

export class StoredDoor {
  readonly #waiting: string;
  readonly #news: string;
  readonly #gate: string;
  readonly #storage: Storage;

  constructor(scheduleId: string, storage: Storage) {
    this.#waiting = `boxoffice.door.${scheduleId}.`;
    this.#news = `boxoffice.inside.${scheduleId}.`;
    this.#gate = `boxoffice.gate.${scheduleId}`;
    this.#storage = storage;
  }

  get gate(): string {
    return this.#storage.getItem(this.#gate) ?? '';
  }

  set gate(name: string) {
    this.#put(this.#gate, name);
  }

  /** What waits, of an earlier visit or another tab, too, in the order in which it was read. */
  waiting(): Scan[] {
    return (this.#all(this.#waiting) as Scan[]).sort((one, other) => one.at.localeCompare(other.at));
  }

  /** Who came in since the list that is kept was made. */
  news(): News[] {
    return this.#all(this.#news) as News[];
  }

  /** False where the browser has no room for it. */
  wait(scan: Scan): boolean {
    return this.#put(this.#waiting + scan.id, JSON.stringify(scan));
  }

  sent(id: string): void {
    this.#storage.removeItem(this.#waiting + id);
  }

  tell(news: News): void {
    this.#put(this.#news + news.id, JSON.stringify(news));
  }

  forget(news: readonly News[]): void {
    for (const { id } of news) this.#storage.removeItem(this.#news + id);
  }

  #put(key: string, text: string): boolean {
    try {
      this.#storage.setItem(key, text);
      return lasts(this.#storage);
    } catch {
      return false; // full, or a window whose storage holds nothing
    }
  }

  #all(prefix: string): unknown[] {
    const keys = Array.from({ length: this.#storage.length }, (_, index) => this.#storage.key(index) ?? '');
    return keys.filter((key) => key.startsWith(prefix)).map((key) => JSON.parse(this.#storage.getItem(key) ?? 'null') as unknown);
  }
}
