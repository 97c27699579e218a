/**
 * What is kept in the browser of whoever is logged in, never a token. For when there is no connection: tickets that were shown, and
 * doors that were opened, each kind with the pages that show it. And which seats are to take the place of others.
 */

import { onDevice } from '../../storage.ts';

export const TICKETS = 'boxoffice-tickets';
export const DOORS = 'boxoffice-doors';
export const KINDS = [TICKETS, DOORS];
export const REPLACING = 'boxoffice.replacing';

/** They are for who was logged in: the next one in this browser finds nothing. A door that is open by a link keeps itself anew. */
export function forgetKept(): void {
  for (const name of KINDS) void globalThis.caches?.delete(name);
  onDevice.removeItem(REPLACING);
}
