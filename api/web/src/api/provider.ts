/** Which payment provider takes the money. */

import { answer, api } from './client.ts';
import type { Answer } from './shapes.ts';

export type Provider = Answer<'/v1/payment-provider'>;

export async function loadProvider(): Promise<Provider> {
  return answer(api.GET('/v1/payment-provider'));
}

/** The sandbox's cards, each a token that says what becomes of it. */
export const SANDBOX_CARDS = [
  'tok_approve',
  'tok_slow',
  'tok_decline_insufficient_funds',
  'tok_decline_lost_card',
  'tok_timeout_charged',
  'tok_timeout_uncharged',
] as const;
