/**
 * A list that is read page by page.
 *
 *     const found = new Pages((cursor) => bookings(wanted, cursor));
 *     <Listed pages={found} of={({ id }) => id} none={words.none}>{#snippet row(booking)}…{/snippet}</Listed>
 */

import { asProblem, type Problem } from '../../api/problem.ts';
import type { Page } from '../server.ts';

export class Pages<T> {
  /** Undefined until the first page is there. */
  items = $state.raw<readonly T[] | undefined>();
  problem = $state.raw<Problem | undefined>();
  busy = $state(false);
  hasMore = $state(false);
  readonly #read: (cursor?: string) => Promise<Page<T>>;
  #next: string | undefined;
  #pages = 1;
  #asked = 0;

  constructor(read: (cursor?: string) => Promise<Page<T>>) {
    this.#read = read;
    void this.reload();
  }

  /** Reads as many pages as are shown (again); what is shown stays until they are there. */
  readonly reload = (): Promise<void> => this.#load([], undefined, this.#pages);

  /** Reads the page that follows. */
  readonly further = (): Promise<void> => this.#load(this.items ?? [], this.#next, 1);

  async #load(before: readonly T[], cursor: string | undefined, pages: number): Promise<void> {
    const mine = ++this.#asked;
    this.busy = true;
    try {
      const items = [...before];
      let next = cursor;
      let read = 0;
      do {
        const page = await this.#read(next);
        if (mine !== this.#asked) return;
        items.push(...page.items);
        next = page.next_cursor ?? undefined;
        read++;
      } while (read < pages && next !== undefined);
      this.items = items;
      this.#next = next;
      this.#pages = cursor === undefined ? read : this.#pages + read;
      this.hasMore = next !== undefined;
      this.problem = undefined;
    } catch (error) {
      if (mine === this.#asked) this.problem = asProblem(error);
    } finally {
      if (mine === this.#asked) this.busy = false;
    }
  }
}
