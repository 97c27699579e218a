/** What is on: performances and their dates. */

import { answer, api } from './client.ts';
import { serverClock } from './clock.ts';
import { everything } from './pages.ts';
import type { Facets, Performance, Schedule } from './shapes.ts';

export interface Filters {
  readonly q: string;
  readonly category: string;
  readonly city: string;
  readonly from: string;
  readonly to: string;
}

export interface PerformancePage {
  readonly items: readonly Performance[];
  readonly next: string | null;
}

const PAGE = 24;
const JUST_OVER_MS = 2 * 86_400_000; // more than a clock that nobody has set yet is wrong by

export async function listPerformances(filters: Filters, cursor: string | null): Promise<PerformancePage> {
  const query = {
    limit: PAGE,
    ...(filters.q === '' ? {} : { q: filters.q }),
    ...(filters.category === '' ? {} : { category: filters.category }),
    ...(filters.city === '' ? {} : { city: filters.city }),
    ...(filters.from === '' ? {} : { date_from: filters.from }),
    ...(filters.to === '' ? {} : { date_to: filters.to }),
    ...(cursor === null ? {} : { cursor }),
  };
  const page = await answer(api.GET('/v1/performances', { params: { query } }));
  return { items: page.items, next: page.next_cursor };
}

/** What there is to choose from: categories and cities with how many performances have them. */
export async function loadFacets(): Promise<Facets> {
  return answer(api.GET('/v1/performances/facets'));
}

export interface PerformanceWithDates {
  readonly performance: Performance;
  readonly schedules: readonly Schedule[];
}

export async function loadPerformance(id: string): Promise<PerformanceWithDates> {
  const path = { performance_id: id };
  const [performance, schedules] = await Promise.all([
    answer(api.GET('/v1/performances/{performance_id}', { params: { path } })),
    loadSchedules(id),
  ]);
  return { performance, schedules };
}

/** The dates that can still matter to who looks for one: those to come, and just over; of what is over, all. By start. */
export async function loadSchedules(performanceId: string): Promise<readonly Schedule[]> {
  const path = { performance_id: performanceId };
  const from = (of: { readonly date_from?: string }) =>
    everything((page) => answer(api.GET('/v1/performances/{performance_id}/schedules', { params: { path, query: { ...page, ...of } } })));
  const recent = await from({ date_from: new Date(serverClock.now() - JUST_OVER_MS).toISOString() });
  return recent.length > 0 ? recent : from({});
}

export async function loadSchedule(id: string): Promise<Schedule> {
  return answer(api.GET('/v1/schedules/{schedule_id}', { params: { path: { schedule_id: id } } }));
}
