/** Seats on their way from one customer to another: what they wish, on either side. */

import { answer, api } from './client.ts';
import { loadSchedule } from './catalogue.ts';
import { serverClock } from './clock.ts';
import { everything } from './pages.ts';
import type { Booking, Transfer } from './shapes.ts';

const of = (transfer_id: string) => ({ path: { transfer_id } });
const OPEN = new Set<Transfer['status']>(['offered', 'accepting']);

/** How a booking's seats can be handed on: whether they can at all, and the offers that nobody has accepted yet. */
export interface HandingOn {
  readonly allowed: boolean;
  readonly open: readonly Transfer[];
}

export async function loadHandingOn({ id, schedule_id }: Booking): Promise<HandingOn> {
  const [schedule, transfers] = await Promise.all([loadSchedule(schedule_id), list('outgoing')]);
  const allowed = schedule.transferable && schedule.cancelled_at === null && Date.parse(schedule.starts_at) > serverClock.now();
  return { allowed, open: transfers.filter((each) => each.booking_id === id && OPEN.has(each.status)) };
}

/** What this customer is offered, and has not answered. */
export function loadOffers(): Promise<readonly Transfer[]> {
  return list('incoming');
}

async function list(direction: Transfer['direction']): Promise<readonly Transfer[]> {
  return everything(async (query) => answer(api.GET('/v1/transfers', { params: { query: { direction, ...query } } })));
}

export async function offer(bookingId: string, email: string, seats: readonly string[], key: string): Promise<void> {
  const params = { path: { booking_id: bookingId }, header: { 'Idempotency-Key': key } };
  await answer(api.POST('/v1/bookings/{booking_id}/transfers', { params, body: { email, seats: [...seats] } }));
}

export async function takeBack(id: string): Promise<void> {
  await answer(api.DELETE('/v1/transfers/{transfer_id}', { params: of(id) }));
}

export async function decline(id: string): Promise<void> {
  await answer(api.POST('/v1/transfers/{transfer_id}/refusal', { params: of(id) }));
}

/** Gives the booking that the seats are now. */
export async function accept(id: string): Promise<Booking> {
  return answer(api.POST('/v1/transfers/{transfer_id}/acceptance', { params: of(id) }));
}
