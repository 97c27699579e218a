/** Which dates a wish comes to, and what stands in their way: the API says, after a pause in typing. The last wish counts. */

import { Problem, asProblem } from '../../api/problem.ts';
import { type DatesSeen, type DatesWish, seeDates } from '../server.ts';

const PAUSE_MS = 350;

export class Dates {
  seen = $state.raw<DatesSeen | null>(null);
  problem = $state.raw<Problem | null>(null);
  busy = $state(false);
  readonly #performanceId: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wish: DatesWish | null = null;
  #asked = 0;

  constructor(performanceId: string) {
    this.#performanceId = performanceId;
  }

  /** How many dates something stands in the way of. */
  get conflicts(): number {
    return this.seen?.dates.filter(({ in_the_way, overlaps }) => overlaps || in_the_way.length > 0).length ?? 0;
  }

  /** Whether all of it can be made. */
  get isFree(): boolean {
    const seen = this.seen;
    return seen !== null && this.problem === null && !this.busy && this.conflicts === 0 && (seen.limit_left === null || seen.limit_left >= seen.dates.length);
  }

  /** Takes a wish, or none. */
  want(wish: DatesWish | null): void {
    if (JSON.stringify(wish) === JSON.stringify(this.#wish)) return;
    this.#wish = wish;
    const mine = ++this.#asked;
    clearTimeout(this.#timer);
    this.busy = wish !== null;
    if (wish === null) [this.seen, this.problem] = [null, null];
    else this.#timer = setTimeout(() => void this.#look(wish, mine), PAUSE_MS);
  }

  again(): void {
    const wish = this.#wish;
    this.#wish = null;
    this.want(wish);
  }

  async #look(wish: DatesWish, mine: number): Promise<void> {
    try {
      const seen = await seeDates(this.#performanceId, wish);
      if (mine === this.#asked) [this.seen, this.problem] = [seen, null];
    } catch (error) {
      if (mine === this.#asked) [this.seen, this.problem] = [null, asProblem(error)];
    } finally {
      if (mine === this.#asked) this.busy = false;
    }
  }
}
