/** What seats are sold for and given back for, as an organizer writes it: amounts in whole units, policies by name. */

import { digitsOf } from '../../words/money.ts';

export interface RefundStep {
  readonly days_before: number;
  readonly fee_percent: number;
}

/** The usual scale of ticket agencies in Korea, all back until the start, or nothing at all; else one's own steps. */
export type PolicyName = 'usual' | 'free' | 'final' | 'own';
export const POLICIES: Record<Exclude<PolicyName, 'own'>, readonly RefundStep[]> = {
  usual: [
    { days_before: 10, fee_percent: 0 },
    { days_before: 7, fee_percent: 10 },
    { days_before: 3, fee_percent: 20 },
    { days_before: 0, fee_percent: 30 },
  ],
  free: [{ days_before: 0, fee_percent: 0 }],
  final: [],
};

export function policyName(steps: readonly RefundStep[]): PolicyName {
  const same = (known: readonly RefundStep[]) =>
    known.length === steps.length && known.every((step, index) => step.days_before === steps[index]?.days_before && step.fee_percent === steps[index].fee_percent);
  const found = Object.entries(POLICIES).find(([, known]) => same(known));
  return (found?.[0] as PolicyName | undefined) ?? 'own';
}

// Whole units, in groups of three if in any: who writes `12,50` means no twelve hundred and fifty.
const AMOUNT = /^(\d{1,3}(?:([\s,_'])\d{3})(?:\2\d{3})*|\d+)(?:\.(\d*))?$/;

/** `55,000` KRW → 55000, `55.5` USD → 5550; null where it is no amount of that currency. */
export function minorOf(text: string, currency: string): number | null {
  const read = AMOUNT.exec(text.trim());
  const whole = read?.[1]?.replace(/\D/g, '') ?? '';
  const digits = digitsOf(currency);
  if (whole === '' || whole.length > 13) return null;
  const fraction = read?.[3] ?? '';
  if (fraction.length > digits) return null;
  return Number(whole) * 10 ** digits + Number(fraction.padEnd(digits, '0') || '0');
}

/** The amount as it is typed: 5550 USD → `55.50`. */
export function typed(minor: number, currency: string): string {
  const digits = digitsOf(currency);
  return (minor / 10 ** digits).toFixed(digits);
}

export interface Price {
  readonly category: string;
  readonly places: number;
  amount: string;
  forSale: boolean;
}

/** What comes in if every place is sold; null while a price cannot be read. */
export function soldOut(prices: readonly Price[], currency: string): number | null {
  let sum = 0;
  for (const { places, amount, forSale } of prices) {
    const minor = forSale ? minorOf(amount, currency) : 0;
    if (minor === null) return null;
    sum += minor * places;
  }
  return sum;
}

/** As the API takes them; null: a price cannot be read, or nothing is for sale. */
export function pricesOf(prices: readonly Price[], currency: string): Record<string, number | null> | null {
  if (!prices.some(({ forSale }) => forSale) || soldOut(prices, currency) === null) return null;
  return Object.fromEntries(prices.map(({ category, amount, forSale }) => [category, forSale ? minorOf(amount, currency) : null]));
}
