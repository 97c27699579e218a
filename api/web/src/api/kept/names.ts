/**
 * What is kept in the browser for when there is no connection: tickets that were shown, and doors that were opened. Each kind with
 * the pages that show it; never a token.
 */

export const TICKETS = 'boxoffice-tickets';
export const DOORS = 'boxoffice-doors';
export const KINDS = [TICKETS, DOORS];

/** They are for who was logged in: the next one in this browser finds nothing. A door that is open by a link keeps itself anew. */
export function forgetKept(): void {
  for (const name of KINDS) void globalThis.caches?.delete(name);
}
