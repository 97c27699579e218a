/** Which payment provider takes the money, and by which cards it can be tried. */

export interface Provider {
  readonly name: string;
  /** Card tokens that stand for a card each. */
  readonly tokens: readonly string[];
}

const SANDBOX: Provider = {
  name: 'sandbox',
  tokens: [
    'tok_approve',
    'tok_slow',
    'tok_decline_insufficient_funds',
    'tok_decline_lost_card',
    'tok_timeout_charged',
    'tok_timeout_uncharged',
  ],
};

export async function loadProvider(): Promise<Provider> {
  return Promise.resolve(SANDBOX);
}
