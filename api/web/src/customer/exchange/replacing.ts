/**
 * Which seats a hold is to take the place of, kept in this tab until they are given back: over the provider's own page, too, from
 * which a customer comes back to the bare address of the booking.
 */

export interface Replacing {
  /** The booking of the old seats, and their ids. */
  readonly booking: string;
  readonly seats: readonly string[];
}

const keyOf = (bookingId: string) => `boxoffice.replacing.${bookingId}`;

export function keepReplacing(bookingId: string, replacing: Replacing): void {
  try {
    sessionStorage.setItem(keyOf(bookingId), JSON.stringify(replacing));
  } catch {
    // A browser that keeps nothing: the old seats are given back from their own page.
  }
}

export function replacingOf(bookingId: string): Replacing | null {
  const kept = sessionStorage.getItem(keyOf(bookingId));
  return kept === null ? null : (JSON.parse(kept) as Replacing);
}

export function forgetReplacing(bookingId: string): void {
  sessionStorage.removeItem(keyOf(bookingId));
}
