/**
 * Bookings, their payments and refunds: each function is one wish of a customer. `key` is the same for all tries of it: whoever has
 * not heard that seats are theirs must not be told on the next try that somebody has them.
 */

import { answer, api } from './client.ts';
import type { Booking, Quote, Refund } from './shapes.ts';

const of = (booking_id: string) => ({ path: { booking_id } });

export async function loadBooking(id: string): Promise<Booking> {
  return answer(api.GET('/v1/bookings/{booking_id}', { params: of(id) }));
}

export interface BookingPage {
  readonly items: readonly Booking[];
  readonly next: string | null;
}

export async function listBookings(cursor: string | null): Promise<BookingPage> {
  const query = { limit: 20, ...(cursor === null ? {} : { cursor }) };
  const page = await answer(api.GET('/v1/bookings', { params: { query } }));
  return { items: page.items as Booking[], next: page.next_cursor };
}

/** What the customer has and had of a date, newest first; of what is more than that, a box office's, the latest. */
export async function bookingsOf(schedule_id: string): Promise<readonly Booking[]> {
  const page = await answer(api.GET('/v1/bookings', { params: { query: { schedule_id, limit: 200 } } }));
  return page.items as Booking[];
}

/** What came back of a payment of one's own: also for seats that are somebody else's since. */
export async function refundsOf(payment_id: string): Promise<readonly Refund[]> {
  const page = await answer(api.GET('/v1/payments/{payment_id}/refunds', { params: { path: { payment_id } } }));
  return page.items as Refund[];
}

/** Something that happened with a booking, by its name in the journal. */
export interface Fact {
  readonly version: number;
  readonly at: string;
  readonly type: string;
}

export async function loadHistory(id: string): Promise<readonly Fact[]> {
  const page = (await answer(api.GET('/v1/bookings/{booking_id}/history', { params: of(id) }))) as { items: Fact[] };
  return page.items;
}

export async function holdSeats(scheduleId: string, seats: readonly string[], key: string): Promise<Booking> {
  const params = { path: { schedule_id: scheduleId }, header: { 'Idempotency-Key': key } };
  return (await answer(api.POST('/v1/schedules/{schedule_id}/bookings', { params, body: { seats: [...seats] } }))) as Booking;
}

/** Other seats for those of a booking, all or none; a paid one takes none but such as cost the same. */
export async function exchange(id: string, seats: readonly string[], key: string): Promise<Booking> {
  const params = { ...of(id), header: { 'Idempotency-Key': key } };
  return answer(api.PATCH('/v1/bookings/{booking_id}', { params, body: { seats: [...seats] } }));
}

export async function extend(id: string, key: string): Promise<Booking> {
  const params = { ...of(id), header: { 'Idempotency-Key': key } };
  return (await answer(api.POST('/v1/bookings/{booking_id}/extension', { params }))) as Booking;
}

export async function cancel(id: string, key: string): Promise<void> {
  const params = { ...of(id), header: { 'Idempotency-Key': key } };
  await answer(api.POST('/v1/bookings/{booking_id}/cancellation', { params, body: {} }));
}

/** Charges the card; null where nothing is to be paid. Gives whether the money has been taken; false: nobody knows yet. Throws a `Problem`. */
export async function pay(id: string, token: string | null, key: string): Promise<{ settled: boolean }> {
  const params = { ...of(id), header: { 'Idempotency-Key': key } };
  const body = token === null ? {} : { method: { type: 'card' as const, token } };
  const paid = await answer(api.POST('/v1/bookings/{booking_id}/payments', { params, body }));
  return { settled: paid.status !== 'pending' };
}

export async function quote(paymentId: string, seats: readonly string[]): Promise<Quote> {
  const params = { path: { payment_id: paymentId }, query: { seats: [...seats] } };
  return answer(api.GET('/v1/payments/{payment_id}/refund_quote', { params }));
}

export async function refund(paymentId: string, seats: readonly string[], key: string): Promise<Refund> {
  const params = { path: { payment_id: paymentId }, header: { 'Idempotency-Key': key } };
  return await answer(api.POST('/v1/payments/{payment_id}/refunds', { params, body: { seats: [...seats] } }));
}
