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

interface Ended {
  readonly status: string;
  readonly seats: readonly unknown[];
  readonly amount: number;
  readonly refunds: readonly { readonly seats: readonly string[]; readonly amount: number; readonly fee: number }[];
}

/** Of a booking that was given back bit by bit: what went before the seats that it still names. None where these were all. */
export function wentBefore({ status, seats, amount, refunds }: Ended): { readonly count: number; readonly amount: number } | null {
  const count = refunds.reduce((sum, refund) => sum + refund.seats.length, -seats.length);
  if (status !== 'refunded' || count <= 0) return null;
  return { count, amount: refunds.reduce((sum, refund) => sum + refund.amount + refund.fee, -amount) };
}

interface Had extends Standing {
  readonly seats: readonly { readonly id: string }[];
}

/** Whether the same seats are theirs in the same way, for however long. */
export function isUnchanged(before: Had, now: Had): boolean {
  const ids = ({ seats }: Had) => seats.map(({ id }) => id).join('\n');
  return stateOf(before) === stateOf(now) && ids(before) === ids(now);
}

/** Whether the seats are theirs, paid for or not. */
export function isTheirs({ status }: { readonly status: string }): boolean {
  return ['held', 'confirmed', 'partially_refunded'].includes(status);
}

interface Owned extends Standing {
  readonly schedule: { readonly starts_at: string; readonly cancelled_at: string | null } | null;
}

/** Whether other seats can be looked for, here or on another date: they are theirs, no payment is under way, and the date is to come. */
export function mayExchange(booking: Owned, now: number): boolean {
  const { schedule } = booking;
  return isTheirs({ status: stateOf(booking) }) && schedule !== null && schedule.cancelled_at === null && Date.parse(schedule.starts_at) > now;
}
