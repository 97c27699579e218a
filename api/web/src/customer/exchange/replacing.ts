/**
 * Which seats a hold is to take the place of, kept in this tab until they are given back: over the provider's own page, too, from
 * which a customer comes back to the bare address of the booking.
 */

import { inTab } from '../../storage.ts';

export interface Replacing {
  /** The booking of the old seats, and their ids. */
  readonly booking: string;
  readonly seats: readonly string[];
}

export const KEPT = 'boxoffice.replacing.';
const keyOf = (bookingId: string) => KEPT + bookingId;

export function keepReplacing(bookingId: string, replacing: Replacing): void {
  inTab.setItem(keyOf(bookingId), JSON.stringify(replacing));
}

export function replacingOf(bookingId: string): Replacing | null {
  return JSON.parse(inTab.getItem(keyOf(bookingId)) ?? 'null') as Replacing | null;
}

export function forgetReplacing(bookingId: string): void {
  inTab.removeItem(keyOf(bookingId));
}
