/** An organizer's way to the API: each function is one wish. All throw a `Problem`. */

import { answer, api } from '../api/client.ts';
import { everything } from '../api/pages.ts';
import { session } from '../api/session.svelte.ts';
import type { paths } from '../api/openapi';
import type { Answer, Performance, Schedule } from '../api/shapes.ts';

type Body<P extends keyof paths, M extends 'post' | 'patch' | 'put'> = paths[P][M] extends { requestBody: { content: { 'application/json': infer B } } } ? B : never;

export type ShowPage = Answer<'/v1/organizer/performances'>;
export type Show = ShowPage['items'][number];
export type Matter = Answer<'/v1/organizer/attention'>['items'][number];
export type VenuePage = Answer<'/v1/organizer/venues'>;
export type Venue = Answer<'/v1/venues/{venue_id}'>;
export type PlanChange = Answer<'/v1/venues/{venue_id}/seating-plan', 'put'>;
type PlanWish = Body<'/v1/venues/{venue_id}/seating-plan', 'put'>;
export type PlanSeen = Answer<'/v1/venues/preview', 'post'>;
export type DatesSeen = Answer<'/v1/performances/{performance_id}/schedules/preview', 'post'>;
export type NewSchedule = Body<'/v1/performances/{performance_id}/schedules', 'post'>;
export type Created = Answer<'/v1/performances/{performance_id}/schedules', 'post'>;
export type DatesWish = Body<'/v1/performances/{performance_id}/schedules/preview', 'post'>;
export type PerformanceValues = Body<'/v1/performances', 'post'>;
export type VenueValues = Body<'/v1/venues/{venue_id}', 'patch'>;
export type ScheduleChange = Body<'/v1/schedules/{schedule_id}', 'patch'>;
export type Consequences = { schedules: number; to_be_given_back: readonly { currency: string; unpaid: number; paid: number; places: number; amount: number }[] };

const PAGE = 12;
const once = (key: string) => ({ header: { 'Idempotency-Key': key } });

export async function listShows(q: string, cursor: string | null): Promise<ShowPage> {
  const query = { limit: PAGE, ...(q === '' ? {} : { q }), ...(cursor === null ? {} : { cursor }) };
  return answer(api.GET('/v1/organizer/performances', { params: { query } }));
}

export async function listMatters(): Promise<readonly Matter[]> {
  return (await answer(api.GET('/v1/organizer/attention'))).items;
}

// --- venues -------------------------------------------------------------------------------------------------------------
/** One's own venues, or with `shared` all that one may play in. */
export async function listVenues(shared: boolean, cursor: string | null, limit = PAGE): Promise<VenuePage> {
  return answer(api.GET('/v1/organizer/venues', { params: { query: { shared, limit, ...(cursor === null ? {} : { cursor }) } } }));
}

export async function loadVenue(venue_id: string): Promise<Venue> {
  return answer(api.GET('/v1/venues/{venue_id}', { params: { path: { venue_id } } }));
}

/** What a plan comes to: its counts, and where its seats are drawn. */
export async function seePlan(seating_plan: { [name: string]: unknown }): Promise<PlanSeen> {
  return answer(api.POST('/v1/venues/preview', { body: { seating_plan } }));
}

export async function createVenue(values: Body<'/v1/venues', 'post'>, key: string): Promise<string> {
  const made = (await answer(api.POST('/v1/venues', { params: once(key), body: values }))) as Venue; // what is only examined has no id
  return made.id;
}

/** What another plan in the place of the venue's would change, and whose seats stand in the way; or, done for good, what it has changed. */
export async function replacePlan(venue_id: string, body: PlanWish, dry_run: boolean): Promise<PlanChange> {
  return answer(api.PUT('/v1/venues/{venue_id}/seating-plan', { params: { path: { venue_id }, query: { dry_run } }, body }));
}

export async function changeVenue(venue_id: string, body: VenueValues): Promise<void> {
  await answer(api.PATCH('/v1/venues/{venue_id}', { params: { path: { venue_id } }, body }));
}

type Grant = Answer<'/v1/venues/{venue_id}/grants'>['items'][number];

/** Whom the venue's organizer lets play there. */
export async function listGrants(venue_id: string): Promise<readonly Grant[]> {
  return everything(async (query) => answer(api.GET('/v1/venues/{venue_id}/grants', { params: { path: { venue_id }, query } })));
}

export async function giveGrant(venue_id: string, email: string, key: string): Promise<void> {
  await answer(api.POST('/v1/venues/{venue_id}/grants', { params: { path: { venue_id }, ...once(key) }, body: { email } }));
}

export async function takeGrantBack(venue_id: string, grant_id: string): Promise<void> {
  await answer(api.DELETE('/v1/venues/{venue_id}/grants/{grant_id}', { params: { path: { venue_id, grant_id } } }));
}

/** Whether the performance is the reader's own: everybody may read it, nobody else change it. */
export function isMine(performance: Performance): boolean {
  return session.account?.role === 'admin' || session.account?.id === performance.organizer_id;
}

// --- performances -------------------------------------------------------------------------------------------------------
export async function createPerformance(body: PerformanceValues, key: string): Promise<string> {
  return (await answer(api.POST('/v1/performances', { params: once(key), body }))).id;
}

export async function changePerformance(performance_id: string, body: PerformanceValues): Promise<Performance> {
  return answer(api.PATCH('/v1/performances/{performance_id}', { params: { path: { performance_id } }, body }));
}

export async function deletePerformance(performance_id: string): Promise<void> {
  await answer(api.DELETE('/v1/performances/{performance_id}', { params: { path: { performance_id } } }));
}

/** What cancelling all of its dates would give back. Cancels nothing. */
export async function seeCancellation(performance_id: string): Promise<Consequences> {
  const params = { path: { performance_id }, query: { preview: true } };
  return (await answer(api.POST('/v1/organizer/performances/{performance_id}/cancellation', { params }))) as unknown as Consequences;
}

export async function cancelPerformance(performance_id: string, reason: string, key: string): Promise<void> {
  const params = { path: { performance_id }, ...once(key) };
  await answer(api.POST('/v1/organizer/performances/{performance_id}/cancellation', { params, body: { reason } }));
}

export async function loadPerformance(performance_id: string): Promise<Performance> {
  return answer(api.GET('/v1/performances/{performance_id}', { params: { path: { performance_id } } }));
}

/** The performance, and all its dates by start. */
export async function loadShow(performance_id: string): Promise<{ performance: Performance; schedules: readonly Schedule[] }> {
  const path = { performance_id };
  const performance = await loadPerformance(performance_id);
  const schedules = await everything(async (query) => answer(api.GET('/v1/performances/{performance_id}/schedules', { params: { path, query } })));
  return { performance, schedules };
}

// --- schedules ----------------------------------------------------------------------------------------------------------
export async function seeDates(performance_id: string, body: DatesWish): Promise<DatesSeen> {
  return answer(api.POST('/v1/performances/{performance_id}/schedules/preview', { params: { path: { performance_id } }, body }));
}

export async function createSchedules(performance_id: string, body: NewSchedule, key: string): Promise<Created> {
  return answer(api.POST('/v1/performances/{performance_id}/schedules', { params: { path: { performance_id }, ...once(key) }, body }));
}

export async function changeSchedule(schedule_id: string, body: ScheduleChange): Promise<Schedule> {
  return answer(api.PATCH('/v1/schedules/{schedule_id}', { params: { path: { schedule_id } }, body }));
}

export async function deleteSchedule(schedule_id: string): Promise<void> {
  await answer(api.DELETE('/v1/schedules/{schedule_id}', { params: { path: { schedule_id } } }));
}

/** A link to the door of a date, for somebody by that name. It is shown this once. */
export async function addDoorStaff(schedule_id: string, name: string, key: string): Promise<string> {
  const params = { path: { schedule_id }, ...once(key) };
  return (await answer(api.POST('/v1/schedules/{schedule_id}/door-staff', { params, body: { name } }))).link;
}
