/** What the admins' pages ask and order. Each throws a `Problem`. */

import { answer, api } from '../api/client.ts';
import type { Answer, Quote } from '../api/shapes.ts';

export type Overview = Answer<'/v1/admin/overview'>;
export type AdminBooking = Answer<'/v1/admin/bookings/{booking_id}'>;
export type AdminPayment = Answer<'/v1/admin/payments/{payment_id}'>;
export type AdminRefund = Answer<'/v1/admin/refunds'>['items'][number];
export type AdminAccount = Answer<'/v1/admin/accounts'>['items'][number];
export type AccountDetail = Answer<'/v1/admin/accounts/{account_id}'>;
export type AuditEntry = Answer<'/v1/admin/audit'>['items'][number];
export type Findings = Answer<'/v1/admin/reconciliation'>;
export type Report = Answer<'/v1/admin/schedules/{schedule_id}/reconciliation'>;
export type Repair = Answer<'/v1/admin/schedules/{schedule_id}/reconciliation', 'post'>;
export type ParkedEvent = Answer<'/v1/admin/parked-events'>['items'][number];
export type Mail = Answer<'/v1/admin/notifications'>['items'][number];
export type Head = Answer<'/v1/admin/actors'>['items'][number];
export type Story = Answer<'/v1/admin/bookings/{booking_id}/history'>;

/** A page of a list, and where the next one begins. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}

/** What bookings, payments and refunds are looked for by; what is empty doesn't count. */
export interface Wanted {
  readonly email: string;
  readonly number: string;
  readonly from: string;
  readonly until: string;
  readonly amount: string;
  readonly status: string;
  readonly id: string;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const once = (booking_id: string, key: string) => ({ path: { booking_id }, header: { 'Idempotency-Key': key } });
const given = <T extends object>(query: T) => Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '' && value != null)) as Given<T>;

/** The first moment of a day where the reader is; of the day after with `days` 1. */
function midnight(date: string, days: number): string {
  if (date === '') return '';
  const day = new Date(`${date}T00:00`);
  day.setDate(day.getDate() + days);
  return day.toISOString();
}

function queryOf({ email, number, from, until, amount, status }: Wanted) {
  const exactly = amount.trim() === '' ? undefined : Number(amount.replace(/[^\d]/g, ''));
  return { email: email.trim(), number: number.trim(), from: midnight(from, 0), until: midnight(until, 1), amount: exactly, status: status as never };
}

export async function bookings(wanted: Wanted, cursor?: string): Promise<Page<AdminBooking>> {
  if (wanted.id !== '') return { items: [await booking(wanted.id)], next_cursor: null };
  const archived = wanted.status === 'archived';
  const query = given({ ...queryOf({ ...wanted, status: archived ? '' : wanted.status }), archived, cursor });
  return answer(api.GET('/v1/admin/bookings', { params: { query } }));
}

export function booking(booking_id: string): Promise<AdminBooking> {
  return answer(api.GET('/v1/admin/bookings/{booking_id}', { params: { path: { booking_id } } }));
}

export async function story(booking_id: string): Promise<Story['items']> {
  return (await answer(api.GET('/v1/admin/bookings/{booking_id}/history', { params: { path: { booking_id }, query: { limit: 200 } } }))).items;
}

export async function endBooking(booking_id: string, refund: boolean, reason: string, key: string): Promise<void> {
  await answer(api.POST('/v1/admin/bookings/{booking_id}/cancellation', { params: once(booking_id, key), body: { refund, reason } }));
}

export function exchangeSeats(booking_id: string, seats: string[], key: string): Promise<AdminBooking> {
  return answer(api.PATCH('/v1/admin/bookings/{booking_id}', { params: once(booking_id, key), body: { seats } }));
}

export async function putAway(booking_id: string): Promise<void> {
  await answer(api.DELETE('/v1/admin/bookings/{booking_id}', { params: { path: { booking_id } } }));
}

export function payments(wanted: Wanted, oldest_first: boolean, cursor?: string): Promise<Page<AdminPayment>> {
  const query = given({ ...queryOf(wanted), booking_id: wanted.id, oldest_first, cursor });
  return answer(api.GET('/v1/admin/payments', { params: { query } }));
}

export function refunds(wanted: Wanted, oldest_first: boolean, cursor?: string): Promise<Page<AdminRefund>> {
  const query = given({ ...queryOf(wanted), booking_id: wanted.id, oldest_first, cursor });
  return answer(api.GET('/v1/admin/refunds', { params: { query } }));
}

/** What giving all that is left of a payment back by this fee comes to, and which seats that is. */
export function refundQuote(payment_id: string, fee_percent: number): Promise<Quote> {
  return answer(api.GET('/v1/payments/{payment_id}/refund_quote', { params: { path: { payment_id }, query: { fee_percent } } }));
}

/** Gives seats that a payment has paid for back, outside the policy. The same key is the same wish. */
export async function giveBack(payment_id: string, seats: string[], reason: string, fee_percent: number, key: string): Promise<void> {
  const params = { path: { payment_id }, header: { 'Idempotency-Key': key } };
  await answer(api.POST('/v1/payments/{payment_id}/refunds', { params, body: { seats, reason, fee_percent } }));
}

export async function settleRefund(refund_id: string, reference: string, reason: string): Promise<void> {
  await answer(api.POST('/v1/admin/refunds/{refund_id}/settlement', { params: { path: { refund_id } }, body: { reference, reason } }));
}

export function accounts(q: string, cursor?: string): Promise<Page<AdminAccount>> {
  return answer(api.GET('/v1/admin/accounts', { params: { query: given({ q: q.trim(), cursor }) } }));
}

export function account(account_id: string): Promise<AccountDetail> {
  return answer(api.GET('/v1/admin/accounts/{account_id}', { params: { path: { account_id } } }));
}

export async function changeAccount(account_id: string, body: { locked: boolean } | { role: AdminAccount['role'] }): Promise<void> {
  await answer(api.PATCH('/v1/admin/accounts/{account_id}', { params: { path: { account_id } }, body }));
}

export function audit(wanted: { account_id: string; subject: string; action: string }, cursor?: string): Promise<Page<AuditEntry>> {
  return answer(api.GET('/v1/admin/audit', { params: { query: given({ ...wanted, cursor }) } }));
}

export function findings(failing: boolean, cursor?: string): Promise<Findings> {
  return answer(api.GET('/v1/admin/reconciliation', { params: { query: given({ failing, cursor }) } }));
}

export function examine(schedule_id: string, events = false): Promise<Report> {
  return answer(api.GET('/v1/admin/schedules/{schedule_id}/reconciliation', { params: { path: { schedule_id }, query: { events } } }));
}

/** Mends a schedule, or says what would be done. */
export function mend(schedule_id: string, dry_run: boolean): Promise<Repair> {
  return answer(api.POST('/v1/admin/schedules/{schedule_id}/reconciliation', { params: { path: { schedule_id } }, body: { dry_run } }));
}

export function parkedEvents(cursor?: string): Promise<Page<ParkedEvent>> {
  return answer(api.GET('/v1/admin/parked-events', { params: { query: given({ cursor }) } }));
}

export function retryEvent({ service, schedule_id, version }: ParkedEvent) {
  const path = { service, schedule_id, version };
  return answer(api.POST('/v1/admin/parked-events/{service}/{schedule_id}/{version}/retry', { params: { path } }));
}

export function mails(status: string, cursor?: string): Promise<Page<Mail>> {
  return answer(api.GET('/v1/admin/notifications', { params: { query: given({ status: status as never, cursor }) } }));
}

export async function sendAgain(notification_id: string): Promise<void> {
  await answer(api.POST('/v1/admin/notifications/{notification_id}/retry', { params: { path: { notification_id } } }));
}

/** Gives a schedule a process to itself, or has it share one. */
export async function dedicate(schedule_id: string, dedicated: boolean): Promise<void> {
  await answer(api.PATCH('/v1/admin/schedules/{schedule_id}', { params: { path: { schedule_id } }, body: { dedicated } }));
}

export function heads(cursor?: string): Promise<Page<Head>> {
  return answer(api.GET('/v1/admin/actors', { params: { query: given({ cursor }) } }));
}
