/**
 * A form's values, and what of them is not saved yet.
 *
 *     const draft = new Draft('venues/new', { name: '', … });
 *     <DraftNote {draft} />  keeps it, tells that it is there, and asks before the tab is closed
 *     draft.saved()          after it was sent
 */

import { session } from '../api/session.svelte.ts';
import { keep, kept, keyOf } from './drafts.ts';
import { inTab } from '../storage.ts';

export class Draft<T extends object> {
  values = $state() as T;
  /** Whether what stands here was typed on an earlier visit. */
  restored = $state(false);
  readonly #key: string;
  #saved = $state('');

  constructor(page: string, saved: T) {
    this.#key = keyOf(session.account?.id ?? '', page);
    this.#saved = JSON.stringify(saved);
    const before = kept(inTab, this.#key, saved);
    this.restored = before !== null;
    this.values = before ?? saved;
  }

  get changed(): boolean {
    return JSON.stringify(this.values) !== this.#saved;
  }

  /** Makes a change that nobody typed: alone it is nothing to be saved. */
  adopt(change: () => void): void {
    const typed = this.changed;
    change();
    if (!typed) this.#saved = JSON.stringify(this.values);
  }

  /** Keeps what is not saved, as long as there is something. */
  keep(): void {
    if (this.changed) keep(inTab, this.#key, this.values);
    else inTab.removeItem(this.#key);
  }

  /** What stands here is saved now. */
  saved(): void {
    this.#saved = JSON.stringify(this.values);
    this.restored = false;
    inTab.removeItem(this.#key);
  }

  /** Goes back to what is saved. */
  discard(): void {
    this.values = JSON.parse(this.#saved) as T;
    this.restored = false;
  }
}
