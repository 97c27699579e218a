/** Bookings, their payments and refunds: each function is one wish of a customer. */

import { loadSchedule } from './catalogue.ts';
import { answer, api } from './client.ts';
import { newKey } from './keys.ts';
import type { Booking, Quote, Schedule } from './shapes.ts';

/** A booking, and its date as it is now; null where that was taken out of the catalogue. */
export interface OwnBooking {
  readonly booking: Booking;
  readonly schedule: Schedule | null;
}

const of = (booking_id: string) => ({ path: { booking_id } });

export async function loadBooking(id: string): Promise<OwnBooking> {
  return withDate(await answer(api.GET('/v1/bookings/{booking_id}', { params: of(id) })));
}

export async function listBookings(cursor: string | null): Promise<{ items: OwnBooking[]; next: string | null }> {
  const query = { limit: 20, ...(cursor === null ? {} : { cursor }) };
  const page = await answer(api.GET('/v1/bookings', { params: { query } }));
  const items = await Promise.all((page.items as Booking[]).map(withDate));
  return { items, next: page.next_cursor };
}

async function withDate(booking: Booking): Promise<OwnBooking> {
  return { booking, schedule: await loadSchedule(booking.schedule_id).catch(() => null) };
}

export interface BestWish {
  readonly quantity: number;
  readonly category: string | null;
}

export async function holdBest(scheduleId: string, { quantity, category }: BestWish): Promise<Booking> {
  return hold(scheduleId, category === null ? { quantity } : { quantity, category });
}

export async function holdSeats(scheduleId: string, seats: readonly string[]): Promise<Booking> {
  return hold(scheduleId, { seats: [...seats] });
}

async function hold(scheduleId: string, body: { seats: string[] } | { quantity: number; category?: string }): Promise<Booking> {
  const params = { path: { schedule_id: scheduleId }, header: { 'Idempotency-Key': newKey() } };
  return (await answer(api.POST('/v1/schedules/{schedule_id}/bookings', { params, body }))) as Booking;
}

export async function extend(id: string): Promise<Booking> {
  const params = { ...of(id), header: { 'Idempotency-Key': newKey() } };
  return (await answer(api.POST('/v1/bookings/{booking_id}/extension', { params }))) as Booking;
}

export async function cancel(id: string): Promise<void> {
  const params = { ...of(id), header: { 'Idempotency-Key': newKey() } };
  await answer(api.POST('/v1/bookings/{booking_id}/cancellation', { params, body: {} }));
}

/** Charges the card. Gives whether the money has been taken; false: nobody knows yet. Throws a `Problem`. */
export async function pay(id: string, token: string, key: string): Promise<{ settled: boolean }> {
  const params = { ...of(id), header: { 'Idempotency-Key': key } };
  const body = { method: { type: 'card' as const, token } };
  const paid = await answer(api.POST('/v1/bookings/{booking_id}/payments', { params, body }));
  return { settled: paid.status !== 'pending' };
}

export async function quote(paymentId: string, seats: readonly string[]): Promise<Quote> {
  const params = { path: { payment_id: paymentId }, query: { seats: [...seats] } };
  return answer(api.GET('/v1/payments/{payment_id}/refund_quote', { params }));
}

export async function refund(paymentId: string, seats: readonly string[], key: string): Promise<void> {
  const params = { path: { payment_id: paymentId }, header: { 'Idempotency-Key': key } };
  await answer(api.POST('/v1/payments/{payment_id}/refunds', { params, body: { seats: [...seats] } }));
}
