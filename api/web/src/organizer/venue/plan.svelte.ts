/**
 * The plan of a venue that is about to be: where it comes from, and what the API makes of it.
 *
 * A plan that changes is asked about after a pause; of several answers the one to the last plan counts.
 */

import { Problem, asProblem } from '../../api/problem.ts';
import { type PlanSeen, seePlan } from '../server.ts';
import type { PlanDocument } from './generator.ts';

const PAUSE_MS = 350;

export class Plan {
  document = $state.raw<PlanDocument | null>(null);
  seen = $state.raw<PlanSeen | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** What was given is no JSON at all: where the reader gave up. */
  unreadable = $state<string | null>(null);
  busy = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;

  /** Whether the plan is there and can be sold by. */
  get isGood(): boolean {
    return this.document !== null && this.seen !== null && this.problem === null && !this.busy;
  }

  /** Takes a plan as text. */
  read(text: string): void {
    try {
      const document: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
      this.unreadable = null;
      this.take(typeof document === 'object' && document !== null && !Array.isArray(document) ? (document as PlanDocument) : { document }, 0);
    } catch (error) {
      this.take(null);
      this.unreadable = error instanceof SyntaxError ? error.message : String(error);
    }
  }

  /** Takes a plan, or none. */
  take(document: PlanDocument | null, pauseMs = PAUSE_MS): void {
    const mine = ++this.#asked;
    clearTimeout(this.#timer);
    this.unreadable = null;
    this.document = document;
    this.busy = document !== null;
    if (document === null) {
      this.seen = null;
      this.problem = null;
    } else this.#timer = setTimeout(() => void this.#look(document, mine), pauseMs);
  }

  /** Asks again, after the answer did not come. */
  again(): void {
    this.take(this.document, 0);
  }

  async #look(document: PlanDocument, mine: number): Promise<void> {
    try {
      const seen = await seePlan(document);
      if (mine !== this.#asked) return;
      this.seen = seen;
      this.problem = null;
    } catch (error) {
      if (mine !== this.#asked) return;
      this.seen = null;
      this.problem = asProblem(error);
    } finally {
      if (mine === this.#asked) this.busy = false;
    }
  }
}
