/**
 * The one way to wait for something that is read from the API: pending, there, or a problem with a way to try again.
 *
 *     const performance = new Loading(() => loadPerformance(id));
 *     <Waiting for={performance}>{#snippet ready(value)}…{/snippet}</Waiting>
 *
 * Reading again (`performance.load()`) leaves what is shown where it is until the new value is there.
 */

import { Problem, asProblem } from '../api/problem.ts';

export class Loading<T> {
  value = $state.raw<T | undefined>();
  problem = $state.raw<Problem | undefined>();
  pending = $state(false);
  readonly #read: () => Promise<T>;
  #asked = 0;

  constructor(read: () => Promise<T>) {
    this.#read = read;
    void this.load();
  }

  /** Reads (again). Never throws: how it went is in `value` and `problem`. Of several readings the last one counts. */
  async load(): Promise<void> {
    const mine = ++this.#asked;
    this.pending = true;
    try {
      const value = await this.#read();
      if (mine !== this.#asked) return;
      this.value = value;
      this.problem = undefined;
    } catch (error) {
      if (mine === this.#asked) this.problem = asProblem(error);
    } finally {
      if (mine === this.#asked) this.pending = false;
    }
  }
}
