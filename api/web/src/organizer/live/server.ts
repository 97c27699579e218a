/** What a live sale asks the API. */

import { answer, api, send } from '../../api/client.ts';
import { everything } from '../../api/pages.ts';
import type { Answer, Schedule } from '../../api/shapes.ts';
import type { Unit } from './sale/curve.ts';

export type Sales = Answer<'/v1/organizer/schedules/{schedule_id}/sales'>;
export type Settlement = Answer<'/v1/organizer/schedules/{schedule_id}/settlement'>;
export type Door = Answer<'/v1/schedules/{schedule_id}/check-ins'>;
export type Block = Answer<'/v1/organizer/schedules/{schedule_id}/blocks'>['items'][number];
export type BookingPage = Answer<'/v1/organizer/schedules/{schedule_id}/bookings'>;
export type OwnBooking = BookingPage['items'][number];
export type Cancellation = Answer<'/v1/organizer/schedules/{schedule_id}/cancellation'>;
export type DoorStaff = Answer<'/v1/schedules/{schedule_id}/door-staff'>['items'][number];
export type DoorLink = Answer<'/v1/schedules/{schedule_id}/door-staff', 'post'>;
export type Preview = Answer<'/v1/organizer/schedules/{schedule_id}/cancellation', 'post'>;

const of = (schedule_id: string) => ({ path: { schedule_id } });
const once = (schedule_id: string, key: string) => ({ ...of(schedule_id), header: { 'Idempotency-Key': key } });

export async function readSchedule(id: string): Promise<Schedule> {
  return answer(api.GET('/v1/schedules/{schedule_id}', { params: of(id) }));
}

export async function readSales(id: string, by: Unit, from: string | null): Promise<Sales> {
  const query = { by, ...(from === null ? {} : { from }) };
  return answer(api.GET('/v1/organizer/schedules/{schedule_id}/sales', { params: { ...of(id), query } }));
}

export async function readSettlement(id: string): Promise<Settlement> {
  return answer(api.GET('/v1/organizer/schedules/{schedule_id}/settlement', { params: of(id) }));
}

export async function readDoor(id: string): Promise<Door> {
  return answer(api.GET('/v1/schedules/{schedule_id}/check-ins', { params: of(id) }));
}

// --- seats out of the sale ----------------------------------------------------------------------------------------------
export async function readBlocks(id: string): Promise<readonly Block[]> {
  return everything(async (query) => answer(api.GET('/v1/organizer/schedules/{schedule_id}/blocks', { params: { ...of(id), query } })));
}

export async function block(id: string, seats: readonly string[], reason: string, key: string): Promise<void> {
  const body = { seats: [...seats], reason };
  await answer(api.POST('/v1/organizer/schedules/{schedule_id}/blocks', { params: once(id, key), body }));
}

export async function unblock(id: string, seats: readonly string[]): Promise<void> {
  await answer(api.DELETE('/v1/organizer/schedules/{schedule_id}/blocks', { params: of(id), body: { seats: [...seats] } }));
}

// --- bookings -----------------------------------------------------------------------------------------------------------
export type BookingState = 'held' | 'confirmed' | 'partially_refunded' | 'refunded' | 'cancelled' | 'expired' | 'transferred';

export interface Wanted {
  readonly q: string;
  readonly status: BookingState | '';
}

const queryOf = ({ q, status }: Wanted) => ({ ...(q.trim() === '' ? {} : { q: q.trim() }), ...(status === '' ? {} : { status }) });

export async function listBookings(id: string, wanted: Wanted, cursor: string | null): Promise<BookingPage> {
  const query = { limit: 25, ...queryOf(wanted), ...(cursor === null ? {} : { cursor }) };
  return answer(api.GET('/v1/organizer/schedules/{schedule_id}/bookings', { params: { ...of(id), query } }));
}

export async function endBooking(id: string, booking_id: string, reason: string, key: string): Promise<void> {
  const params = { path: { schedule_id: id, booking_id }, header: { 'Idempotency-Key': key } };
  await answer(api.POST('/v1/organizer/schedules/{schedule_id}/bookings/{booking_id}/cancellation', { params, body: { reason } }));
}

// --- the sale itself ----------------------------------------------------------------------------------------------------
export interface Terms {
  readonly sale_opens_at?: string | null;
  readonly sale_closes_at?: string | null;
  readonly max_seats_per_customer?: number | null;
  readonly hold_seconds?: number;
  readonly waiting_room?: boolean;
}

export async function change(id: string, terms: Terms): Promise<void> {
  await answer(api.PATCH('/v1/schedules/{schedule_id}', { params: of(id), body: terms }));
}

export async function previewCancellation(id: string): Promise<Preview> {
  const params = { ...of(id), query: { preview: true } };
  return (await answer(api.POST('/v1/organizer/schedules/{schedule_id}/cancellation', { params }))) as Preview; // by the query, not what a cancellation answers
}

export async function cancelSchedule(id: string, reason: string, key: string): Promise<void> {
  await answer(api.POST('/v1/organizer/schedules/{schedule_id}/cancellation', { params: once(id, key), body: { reason } }));
}

export async function readCancellation(id: string): Promise<Cancellation> {
  return answer(api.GET('/v1/organizer/schedules/{schedule_id}/cancellation', { params: of(id) }));
}

// --- the door -----------------------------------------------------------------------------------------------------------
export async function listDoorStaff(id: string): Promise<readonly DoorStaff[]> {
  return everything(async (query) => answer(api.GET('/v1/schedules/{schedule_id}/door-staff', { params: { ...of(id), query } })));
}

export async function addDoorStaff(id: string, name: string, key: string): Promise<DoorLink> {
  return answer(api.POST('/v1/schedules/{schedule_id}/door-staff', { params: once(id, key), body: { name } }));
}

export async function endDoorStaff(id: string, staff_id: string): Promise<void> {
  await answer(api.DELETE('/v1/schedules/{schedule_id}/door-staff/{staff_id}', { params: { path: { schedule_id: id, staff_id } } }));
}

// --- files --------------------------------------------------------------------------------------------------------------
/** Has the browser save what is at the address, asked for as whoever is logged in. Throws a `Problem`. */
export async function save(path: string, name: string): Promise<void> {
  const blob = await answer(send(new Request(path)).then(async (response) => ({ response, ...(await bodyOf(response)) })));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function bodyOf(response: Response): Promise<{ data: Blob } | { error: unknown }> {
  return response.ok ? { data: await response.blob() } : { error: await response.json().catch(() => null) };
}
