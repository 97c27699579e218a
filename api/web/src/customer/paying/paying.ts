/**
 * What becomes of a try to pay, and what the reader is told to do about it.
 *
 * A wish to pay has one `Idempotency-Key` from its first try until its request is known to have arrived: whether the request was
 * lost or its answer, the card is charged once at most. Another card meanwhile would be another charge. A page that is loaded
 * anew needs no key: it reads from the booking whether a payment is under way, and the server takes no second one then.
 */

/** One wish to pay: with this card, however often it has to be sent. */
export interface Wish {
  /** What stands for the card; null where nothing is to be paid. */
  readonly token: string | null;
  readonly key: string;
}

/** What the reader confirms a card with, at its bank, and what pays once that is done. */
export interface Confirmation {
  readonly client_secret: string;
  readonly token: string;
}

export type Outcome =
  | { readonly kind: 'settled' }
  | { readonly kind: 'declined'; readonly reason: string | null; readonly confirmation: Confirmation | null }
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
  readonly confirmation?: unknown;
}

export function outcomeOf(refused: Refused): Outcome {
  if (refused.code === 'payment_declined') {
    const reason = typeof refused.reason === 'string' ? refused.reason : null;
    return { kind: 'declined', reason, confirmation: (refused.confirmation ?? null) as Confirmation | null };
  }
  if (refused.code === 'payment_in_progress') return { kind: 'pending' };
  if (refused.code === 'booking_already_paid') return { kind: 'settled' };
  // Turned away before anything was done: too many at once, or nobody logged in any more.
  if (refused.uncertain || refused.status === 429 || refused.status === 401) return { kind: 'unsent' };
  return { kind: 'refused' };
}

/** What the server says of the last payment, where one was tried. */
interface Payment {
  readonly status: string;
  readonly reason: string | null;
}

/** Why the last card was not charged; null where none was tried, or where another one is being charged now. */
export function refusalOf(outcome: Outcome | null, payment: Payment | null, busy: boolean): string | null {
  if (busy) return null;
  if (outcome?.kind === 'declined') return outcome.reason ?? '';
  // What came of this page's own try is later than what its booking says, until a pending one is known.
  if (outcome !== null && outcome.kind !== 'pending') return null;
  return payment?.status === 'declined' ? (payment.reason ?? '') : null;
}

/** The reason where no provider has said no: the request, or its answer, never came. */
export const NOT_CHARGED = 'not_charged';

// What providers call the same thing, by the name that we have words for. Those of Toss are its error codes in lower case, those of
// Stripe its decline codes. A code that is not here is said without its reason: nobody is helped by `do_not_honor`.
const ALIKE: Record<string, string> = {
  reject_account_payment: 'insufficient_funds',
  invalid_card_lost_or_stolen: 'lost_card',
  invalid_card_expiration: 'expired_card',
  invalid_card_number: 'mistyped',
  invalid_password: 'mistyped',
  incorrect_number: 'mistyped',
  invalid_number: 'mistyped',
  incorrect_cvc: 'mistyped',
  invalid_cvc: 'mistyped',
  invalid_expiry_month: 'mistyped',
  invalid_expiry_year: 'mistyped',
  reject_card_payment: 'limit',
  card_velocity_exceeded: 'limit',
  withdrawal_count_limit_exceeded: 'limit',
  invalid_stopped_card: 'stopped',
  authentication_required: 'authentication',
  payment_intent_authentication_failure: 'authentication',
};

/** Of a provider's code the reason that there are words for, if any. */
export function reasonOf(code: string): string {
  return ALIKE[code] ?? (code.startsWith('exceed_max_') ? 'limit' : code);
}

/** Whether the request is known to have arrived, so that the next wish is a new one. */
export function hasArrived(outcome: Outcome): boolean {
  return outcome.kind !== 'unsent';
}

/** The wishes to pay of this page, by booking. In memory: what stands for a card is not stored. */
export class PaymentWishes {
  readonly #wishes = new Map<string, Wish>();
  readonly #newKey: () => string;

  constructor(newKey: () => string) {
    this.#newKey = newKey;
  }

  /** The wish whose request may not have arrived, if there is one. */
  current(bookingId: string): Wish | null {
    return this.#wishes.get(bookingId) ?? null;
  }

  /** The wish to send: the one under way, or a new one for this card. */
  start(bookingId: string, token: string | null): Wish {
    const wish = this.current(bookingId) ?? { token, key: this.#newKey() };
    this.#wishes.set(bookingId, wish);
    return wish;
  }

  /** Takes in what became of it. */
  ended(bookingId: string, outcome: Outcome): void {
    if (hasArrived(outcome)) this.#wishes.delete(bookingId);
  }
}
