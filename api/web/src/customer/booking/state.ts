/**
 * How a reader stands with a booking: the API's state, `pending` while nobody knows whether its payment went through, and not
 * `refunded` where nothing came back.
 */

export type BookingState = 'held' | 'pending' | 'confirmed' | 'partially_refunded' | 'refunded' | 'cancelled' | 'expired' | 'transferred';

interface Standing {
  readonly status: string;
  readonly payment: { readonly status: string } | null;
  readonly refunds: readonly { readonly amount: number }[];
}

export function stateOf({ status, payment, refunds }: Standing): BookingState {
  if (status === 'held' && payment?.status === 'pending') return 'pending';
  if (status === 'refunded' && refunds.every(({ amount }) => amount === 0)) return 'cancelled';
  return status as BookingState;
}

interface Owned extends Standing {
  readonly schedule: { readonly starts_at: string; readonly cancelled_at: string | null } | null;
}

/** Whether other seats can be looked for, here or on another date: they are theirs, no payment is under way, and the date is to come. */
export function mayExchange(booking: Owned, now: number): boolean {
  const { schedule } = booking;
  const isOwned = ['held', 'confirmed', 'partially_refunded'].includes(stateOf(booking));
  return isOwned && schedule !== null && schedule.cancelled_at === null && Date.parse(schedule.starts_at) > now;
}
