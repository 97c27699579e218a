/**
 * The one way to send a form: busy meanwhile, and the problem where it was refused.
 *
 *     const form = new Submitting(async () => { … });
 *     <form onsubmit={form.submit}>…<button disabled={form.busy}>
 */

import { Problem, asProblem } from '../api/problem.ts';

export class Submitting {
  busy = $state(false);
  problem = $state.raw<Problem | undefined>();
  readonly #carryOut: () => Promise<void>;

  constructor(carryOut: () => Promise<void>) {
    this.#carryOut = carryOut;
  }

  /** For its `ProblemCard`: what was turned away only because much is going on is sent again by itself. */
  get whenBusy(): { retry?: () => Promise<void> } {
    return this.problem?.status === 503 ? { retry: this.submit } : {};
  }

  readonly submit = async (event?: Event): Promise<void> => {
    event?.preventDefault();
    if (this.busy) return;
    this.busy = true;
    this.problem = undefined;
    try {
      await this.#carryOut();
    } catch (error) {
      this.problem = asProblem(error);
    } finally {
      this.busy = false;
    }
  };
}
