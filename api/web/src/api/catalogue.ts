/** What is on: performances as the pages show them, their dates, and how their sale stands. */

import { answer, api } from './client.ts';
import { serverClock } from './clock.ts';
import type { Counts, Performance, Schedule, Venue } from './shapes.ts';

/** Where a sale stands, for a reader: the API's states, and whether anything is left. */
export type SaleState = 'on_sale' | 'few_left' | 'sold_out' | 'scheduled' | 'closed' | 'ended' | 'cancelled' | 'none';

export interface Filters {
  readonly q: string;
  readonly category: string;
  readonly from: string;
  readonly to: string;
}

/** A performance with what a card says of it. */
export interface Listed {
  readonly performance: Performance;
  readonly venue: Venue | null;
  readonly schedules: readonly Schedule[];
  readonly sale: SaleState;
  readonly fromPrice: number | null;
  readonly currency: string;
}

export interface ListedPage {
  readonly items: readonly Listed[];
  readonly next: string | null;
}

const PAGE = 24;

export async function listPerformances(filters: Filters, cursor: string | null): Promise<ListedPage> {
  const query = {
    limit: PAGE,
    ...(filters.q === '' ? {} : { q: filters.q }),
    ...(filters.category === '' ? {} : { category: filters.category }),
    ...(filters.from === '' ? {} : { date_from: filters.from }),
    ...(filters.to === '' ? {} : { date_to: filters.to }),
    ...(cursor === null ? {} : { cursor }),
  };
  const page = await answer(api.GET('/v1/performances', { params: { query } }));
  return { items: await Promise.all(page.items.map(listed)), next: page.next_cursor };
}

export async function loadPerformance(id: string): Promise<Listed> {
  return listed(await answer(api.GET('/v1/performances/{performance_id}', { params: { path: { performance_id: id } } })));
}

export async function loadSchedule(id: string): Promise<Schedule> {
  return answer(api.GET('/v1/schedules/{schedule_id}', { params: { path: { schedule_id: id } } }));
}

async function listed(performance: Performance): Promise<Listed> {
  const schedules = await loadSchedules(performance.id);
  const venueId = schedules[0]?.venue_id ?? performance.venue_id;
  const venue = venueId === null ? null : await loadVenue(venueId);
  const open = schedules.filter((each) => each.sale.state === 'on_sale' || each.sale.state === 'scheduled');
  const prices = (open.length > 0 ? open : schedules).flatMap((each) => Object.values(each.prices));
  return {
    performance,
    venue,
    schedules,
    sale: saleOfAll(schedules, serverClock.now()),
    fromPrice: prices.length > 0 ? Math.min(...prices) : null,
    currency: schedules[0]?.currency ?? 'KRW',
  };
}

export async function loadSchedules(performanceId: string): Promise<readonly Schedule[]> {
  const path = { performance_id: performanceId };
  const page = await answer(api.GET('/v1/performances/{performance_id}/schedules', { params: { path, query: { limit: 200 } } }));
  return page.items;
}

const venues = new Map<string, Promise<Venue>>();

function loadVenue(id: string): Promise<Venue> {
  let venue = venues.get(id);
  if (venue === undefined) {
    venue = answer(api.GET('/v1/venues/{venue_id}', { params: { path: { venue_id: id } } }));
    venues.set(id, venue);
    venue.catch(() => venues.delete(id));
  }
  return venue;
}

/** How one date's sale stands at `now` (the server's time): an opening or closing that has passed counts at once. */
export function saleOf(schedule: Schedule, now: number): SaleState {
  const { state, opens_at, closes_at } = schedule.sale;
  const open = state === 'on_sale' || (state === 'scheduled' && opens_at !== null && Date.parse(opens_at) <= now);
  if (!open) return state as SaleState;
  if (Date.parse(closes_at) <= now) return 'closed';
  if (schedule.seats_left === null) return 'on_sale';
  const left = Object.values(schedule.seats_left).reduce((sum, each) => sum + each, 0);
  return left === 0 ? 'sold_out' : 'on_sale';
}

const BEST_FIRST: readonly SaleState[] = ['on_sale', 'few_left', 'scheduled', 'sold_out', 'closed', 'cancelled', 'ended'];

/** How the sale of a performance stands: as that of the date with which a reader can do most. */
export function saleOfAll(schedules: readonly Schedule[], now: number): SaleState {
  const states = new Set(schedules.map((each) => saleOf(each, now)));
  return BEST_FIRST.find((state) => states.has(state)) ?? 'none';
}

/** One date and what is played on it. */
export async function loadDate(scheduleId: string): Promise<{ schedule: Schedule; performance: Performance }> {
  const schedule = await loadSchedule(scheduleId);
  const path = { performance_id: schedule.performance_id };
  const performance = await answer(api.GET('/v1/performances/{performance_id}', { params: { path } }));
  return { schedule, performance };
}

/** What is left of each category, dearest first. */
export async function loadCounts(scheduleId: string): Promise<Counts> {
  return answer(api.GET('/v1/schedules/{schedule_id}/availability', { params: { path: { schedule_id: scheduleId } } }));
}
