/** A search as it stands in a page's address. */

import type { Wanted } from '../server.ts';

export const WANTED = ['email', 'number', 'from', 'until', 'amount', 'status', 'id'] as const;

export function wantedOf(query: URLSearchParams): Record<(typeof WANTED)[number], string> & Wanted {
  const of = (name: string) => query.get(name) ?? '';
  return { email: of('email'), number: of('number'), from: of('from'), until: of('until'), amount: of('amount'), status: of('status'), id: of('id') };
}
