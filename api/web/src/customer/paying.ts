/**
 * What becomes of a try to pay, and what the reader is told to do about it.
 *
 * A wish to pay has one `Idempotency-Key` from its first try to the last: whether its request was lost, its answer, or the page
 * itself, the card is charged once at most. It is forgotten when the outcome is certain, not sooner; another card meanwhile
 * would be another charge.
 */

/** One wish to pay: with this card, however often it has to be sent. */
export interface Wish {
  readonly token: string;
  readonly key: string;
}

export type Outcome =
  | { readonly kind: 'settled' }
  | { readonly kind: 'declined'; readonly reason: string | null }
  /** The provider has not answered: the server finds out by itself. */
  | { readonly kind: 'pending' }
  /** The request may not have arrived: sending it again is safe, and needed. */
  | { readonly kind: 'unsent' }
  /** Refused for good, by the problem that says why: the hold has ended, or the booking is paid. */
  | { readonly kind: 'refused' };

/** What is known of a refusal; `uncertain` as `Problem.isUncertain` says. */
export interface Refused {
  readonly status: number;
  readonly code: string;
  readonly uncertain: boolean;
  readonly reason: unknown;
}

export function outcomeOf(refused: Refused): Outcome {
  if (refused.code === 'payment_declined') {
    return { kind: 'declined', reason: typeof refused.reason === 'string' ? refused.reason : null };
  }
  if (refused.code === 'payment_in_progress') return { kind: 'pending' };
  if (refused.code === 'booking_already_paid') return { kind: 'settled' };
  // Turned away before anything was done: too many at once, or nobody logged in any more.
  if (refused.uncertain || refused.status === 429 || refused.status === 401) return { kind: 'unsent' };
  return { kind: 'refused' };
}

/** Whether nothing more can come of the wish, so that the next one is a new one. */
export function isCertain(outcome: Outcome): boolean {
  return outcome.kind === 'settled' || outcome.kind === 'declined' || outcome.kind === 'refused';
}

/** Where wishes outlive the page: `sessionStorage`, or whatever tests give. */
export interface Shelf {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/** The wish to pay for one booking. */
export class PaymentWish {
  readonly #name: string;
  readonly #shelf: Shelf;
  readonly #newKey: () => string;

  constructor(bookingId: string, shelf: Shelf, newKey: () => string) {
    this.#name = `boxoffice.payment.${bookingId}`;
    this.#shelf = shelf;
    this.#newKey = newKey;
  }

  /** The wish under way, if its outcome isn't certain yet. */
  get current(): Wish | null {
    const stored = this.#shelf.getItem(this.#name);
    return stored === null ? null : (JSON.parse(stored) as Wish);
  }

  /** The wish to send: the one under way, or a new one for this card. */
  start(token: string): Wish {
    const wish = this.current ?? { token, key: this.#newKey() };
    this.#shelf.setItem(this.#name, JSON.stringify(wish));
    return wish;
  }

  /** Takes in what became of it. */
  ended(outcome: Outcome): void {
    if (isCertain(outcome)) this.#shelf.removeItem(this.#name);
  }
}
