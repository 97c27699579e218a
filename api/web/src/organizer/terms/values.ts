/** The terms of a sale as a form has them, and as the API takes them. Times are what clocks at the venue show. */

import type { Schedule } from '../../api/shapes.ts';
import { instantOf, localOf } from '../schedule/local.ts';
import { POLICIES, type PolicyName, type Price, type RefundStep, policyName, pricesOf, typed } from './terms.ts';

export interface Terms {
  /** When the sale opens; empty: at once. */
  opens: string;
  /** Minutes before the start at which it closes. */
  closesBefore: string;
  currency: string;
  prices: Price[];
  /** Seats a customer may have; empty: no limit. */
  limit: string;
  holdMinutes: string;
  waitingRoom: boolean;
  policy: PolicyName;
  steps: { days: string; fee: string }[];
  whenMoved: boolean;
}

export interface Category {
  readonly name: string;
  readonly capacity: number;
}

const MINUTE_MS = 60_000;
/** What minutes are typed as. Whether they are too many or too few is the API's to say. */
export const MINUTES = '[0-9]+([.][0-9]+)?';
const USUAL_HOLD_MINUTES = '10';
const ownSteps = (steps: readonly RefundStep[]) => steps.map((step) => ({ days: String(step.days_before), fee: String(step.fee_percent) }));

export function newTerms(currency: string): Terms {
  const steps = ownSteps(POLICIES.usual);
  return { opens: '', closesBefore: '0', currency, prices: [], limit: '', holdMinutes: USUAL_HOLD_MINUTES, waitingRoom: false, policy: 'usual', steps, whenMoved: true };
}

/** Seconds as minutes in a field, so that they come to the same seconds again. */
export function minutesOf(seconds: number): string {
  return String(Math.round((seconds / 60) * 100) / 100);
}

export function secondsOf(minutes: string): number {
  return Math.round(Number(minutes) * 60);
}

/** The terms that a schedule is sold on. */
export function termsOf(schedule: Schedule, categories: readonly Category[]): Terms {
  const closes = Date.parse(schedule.sale.closes_at);
  return {
    opens: schedule.sale_opens_at === null ? '' : localOf(schedule.sale_opens_at, schedule.time_zone),
    closesBefore: String(Math.round((Date.parse(schedule.starts_at) - closes) / MINUTE_MS)),
    currency: schedule.currency,
    prices: categories.map(({ name, capacity }) => {
      const price = schedule.prices[name] ?? null;
      return { category: name, places: capacity, amount: price === null ? '' : typed(price, schedule.currency), forSale: price !== null };
    }),
    limit: schedule.max_seats_per_customer === null ? '' : String(schedule.max_seats_per_customer),
    holdMinutes: minutesOf(schedule.hold_seconds),
    waitingRoom: schedule.waiting_room,
    policy: policyName(schedule.refund_policy),
    steps: ownSteps(schedule.refund_policy.length > 0 ? schedule.refund_policy : POLICIES.usual),
    whenMoved: schedule.refund_when_moved,
  };
}

/** Prices for these categories; what was typed for one of the same name stays. */
export function pricesFor(categories: readonly Category[], before: readonly Price[]): Price[] {
  return categories.map(({ name, capacity }) => {
    const known = before.find(({ category }) => category === name);
    return { category: name, places: capacity, amount: known?.amount ?? '', forSale: known?.forSale ?? true };
  });
}

/** When the sale opens and closes, for a schedule that starts at `starts` (an instant). */
export function windowOf(terms: Terms, starts: string, zone: string): { sale_opens_at: string | null; sale_closes_at: string | null } {
  const before = Number(terms.closesBefore) || 0;
  return {
    sale_opens_at: terms.opens === '' ? null : instantOf(terms.opens, zone),
    sale_closes_at: before === 0 ? null : new Date(Date.parse(starts) - before * MINUTE_MS).toISOString(),
  };
}

export function policyOf(terms: Terms): RefundStep[] {
  if (terms.policy !== 'own') return [...POLICIES[terms.policy]];
  return terms.steps.map(({ days, fee }) => ({ days_before: Number(days), fee_percent: Number(fee) }));
}

/** What is said of the seats themselves; null while a price cannot be read. */
export function sellingOf(terms: Terms) {
  const prices = pricesOf(terms.prices, terms.currency);
  if (prices === null) return null;
  return {
    prices,
    max_seats_per_customer: terms.limit.trim() === '' ? null : Number(terms.limit),
    hold_seconds: secondsOf(terms.holdMinutes),
    waiting_room: terms.waitingRoom,
    refund_policy: policyOf(terms),
    refund_when_moved: terms.whenMoved,
  };
}
