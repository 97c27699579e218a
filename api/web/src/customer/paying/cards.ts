/**
 * Where the token for a card comes from: the one place where a payment provider's own form plugs in.
 *
 * A card's number goes from the provider's form to the provider and never through these pages or our API; what comes back is a
 * token. The page's policy lets a provider's script run only where people pay (`policies.py`).
 */

import type { Provider } from '../../api/provider.ts';
import type { Booking } from '../../api/shapes.ts';
import { major } from '../../words/money.ts';

export interface CardForm {
  /** A token for the card; null: the reader is on the way to the provider's page, and comes back with one. */
  token(booking: Booking, orderName: string): Promise<string | null>;
  /** Has the reader confirm a card at its bank (3-D Secure), on this page; false: they have not. */
  confirm?(clientSecret: string): Promise<boolean>;
}

/** Puts the provider's form into `place`, in the language that is read. Throws where its script cannot be had. */
export async function cardForm(provider: Provider, place: HTMLElement, language: string): Promise<CardForm> {
  const key = provider.public_key ?? '';
  return provider.name === 'stripe' ? stripeForm(key, place, language) : tossForm(key, provider.return_url);
}

/** What the provider's page came back with, in the address: a token, or that there is none. */
export interface Returned {
  readonly token: string | null;
  /** `given_up`: the reader has turned back themselves. */
  readonly refusal: 'given_up' | 'refused' | null;
}

const GIVEN_UP = ['PAY_PROCESS_CANCELED', 'USER_CANCEL']; // by Toss, in the address, which names no order then, or to its script

/** Reads the address of the page. Anybody can write one: the words in it are not shown as if they were the provider's. */
export function returnedWith(query: URLSearchParams, bookingId: string): Returned {
  const code = query.get('code');
  const token = query.get('orderId') === bookingId ? query.get('paymentKey') : null;
  if (token !== null || code === null) return { token, refusal: null };
  return { token, refusal: GIVEN_UP.includes(code) ? 'given_up' : 'refused' };
}

/** Whether this page was loaded with the policy under which the provider's script runs. */
export function mayRun(provider: Provider): boolean {
  return document.querySelector<HTMLMetaElement>('meta[name="pays-with"]')?.content === provider.name;
}

function loadScript(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.onload = () => resolve();
    script.onerror = () => reject(new Error(address));
    document.head.append(script);
  });
}

// --- Stripe: docs.stripe.com/js, a field in a frame of Stripe's own ----------------------------------------------------
interface StripeCard {
  mount(place: HTMLElement): void;
}
interface Stripe {
  elements(): { create(kind: 'card'): StripeCard };
  createPaymentMethod(of: { type: 'card'; card: StripeCard }): Promise<{ paymentMethod?: { id: string }; error?: { message?: string } }>;
  handleCardAction(clientSecret: string): Promise<{ error?: unknown }>;
}

async function stripeForm(key: string, place: HTMLElement, locale: string): Promise<CardForm> {
  await loadScript('https://js.stripe.com/v3/');
  const stripe = (window as unknown as { Stripe: (key: string, options: { locale: string }) => Stripe }).Stripe(key, { locale });
  const card = stripe.elements().create('card');
  card.mount(place);
  return {
    async token() {
      const { paymentMethod, error } = await stripe.createPaymentMethod({ type: 'card', card });
      if (paymentMethod === undefined) throw new CardRefused(error?.message ?? '');
      return paymentMethod.id;
    },
    async confirm(clientSecret) {
      return (await stripe.handleCardAction(clientSecret)).error === undefined;
    },
  };
}

/** The provider's form takes the card not; the message is the provider's, in the reader's language. */
export class CardRefused extends Error {}

/** Whether the reader has closed the provider's window themselves. */
export function isGivenUp(error: unknown): boolean {
  const code = error instanceof Object && 'code' in error ? error.code : null;
  return typeof code === 'string' && GIVEN_UP.includes(code);
}

// --- Toss Payments: docs.tosspayments.com/sdk/v2/js, a page of Toss's own ----------------------------------------------
interface TossRequest {
  method: 'CARD';
  amount: { currency: string; value: number };
  orderId: string;
  orderName: string;
  successUrl: string;
  failUrl: string;
}
interface Toss {
  payment(of: { customerKey: string }): { requestPayment(request: TossRequest): Promise<void> };
}
type TossPayments = ((key: string) => Toss) & { readonly ANONYMOUS: string };

async function tossForm(key: string, returnUrl: string): Promise<CardForm> {
  await loadScript('https://js.tosspayments.com/v2/standard');
  const toss = (window as unknown as { TossPayments: TossPayments }).TossPayments;
  const payment = toss(key).payment({ customerKey: toss.ANONYMOUS });
  return {
    async token(booking, orderName) {
      const back = returnUrl.replace('{booking_id}', booking.id);
      const amount = { currency: booking.currency, value: major(booking.amount, booking.currency) };
      await payment.requestPayment({ method: 'CARD', amount, orderId: booking.id, orderName, successUrl: back, failUrl: back });
      return null;
    },
  };
}
