/** The state a reader is in with a booking: the API's, and `pending` while nobody knows whether its payment went through. */

export type BookingState = 'held' | 'pending' | 'confirmed' | 'partially_refunded' | 'refunded' | 'cancelled' | 'expired' | 'transferred';

interface Standing {
  readonly status: string;
  readonly payment: { readonly status: string } | null;
}

export function stateOf({ status, payment }: Standing): BookingState {
  if (status === 'held' && payment?.status === 'pending') return 'pending';
  return status as BookingState;
}
