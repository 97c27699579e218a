/**
 * A list that is read page by page.
 *
 *     const found = new Pages((cursor) => bookings(wanted, cursor));
 *     <Listed pages={found} none={words.none}>{#snippet row(booking)}…{/snippet}</Listed>
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
  #asked = 0;

  constructor(read: (cursor?: string) => Promise<Page<T>>) {
    this.#read = read;
    void this.reload();
  }

  /** Reads the first page (again); what is shown stays until it is there. */
  readonly reload = (): Promise<void> => this.#load(undefined);

  /** Reads the page that follows. */
  readonly further = (): Promise<void> => this.#load(this.#next);

  async #load(cursor: string | undefined): Promise<void> {
    const mine = ++this.#asked;
    this.busy = true;
    try {
      const page = await this.#read(cursor);
      if (mine !== this.#asked) return;
      this.items = cursor === undefined ? page.items : [...(this.items ?? []), ...page.items];
      this.#next = page.next_cursor ?? undefined;
      this.hasMore = this.#next !== undefined;
      this.problem = undefined;
    } catch (error) {
      if (mine === this.#asked) this.problem = asProblem(error);
    } finally {
      if (mine === this.#asked) this.busy = false;
    }
  }
}
