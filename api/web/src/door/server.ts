/**
 * The door's way to the API: as whoever is logged in, or by the token of a door's link (`/door/{schedule}#door_…`), which
 * stands behind the # and so in no server's log. The token stays in the address: a reload keeps the door, and nothing of
 * it is stored.
 */

import createClient from 'openapi-fetch';
import { type api, answer, send } from '../api/client.ts';
import { serverClock } from '../api/clock.ts';
import type { paths } from '../api/openapi';
import { answeredSoon, asProblem, reached } from '../api/problem.ts';
import type { Answer } from '../api/shapes.ts';
import { loadSchedule } from '../api/catalogue.ts';
import type { Schedule } from '../api/shapes.ts';
import type { ListedTicket } from './offline.ts';
import type { Scan } from './scans.ts';

export type Verdict = Answer<'/v1/schedules/{schedule_id}/check-ins', 'post'>[number];
export type Counts = Answer<'/v1/schedules/{schedule_id}/check-ins'>;

const DOOR_TOKEN = /^#(door_[\w-]+)$/;
const NOT_TAKEN = new Set([413, 422]); // too much at once, or nothing that could be a scan
const LONGEST_CODE = 1_000; // as long as none of ours is: people hold all kinds of codes into a camera, and a batch has its limit

/** The token of a door's link, by what stands behind the # of the address; null for who comes without one. */
export function tokenIn(hash: string): string | null {
  return DOOR_TOKEN.exec(hash)?.[1] ?? null;
}

export class DoorServer {
  readonly #scheduleId: string;
  readonly #client: typeof api;

  constructor(scheduleId: string, token: string | null) {
    this.#scheduleId = scheduleId;
    const sent = token === null ? send : by(token);
    this.#client = createClient<paths>({ fetch: (request) => sent(new Request(request, { signal: answeredSoon() })) });
  }

  get #path() {
    return { path: { schedule_id: this.#scheduleId } };
  }

  async schedule(): Promise<Schedule> {
    return loadSchedule(this.#scheduleId);
  }

  /** Judges codes that were read; one answer each, in order, or null where they are not taken so. A scan sent again gets its first answer. */
  async send(scans: readonly Scan[]): Promise<readonly Verdict[] | null> {
    const body = scans.map(({ id, code, bookingId, places, gate, at, ahead }) => ({
      id,
      ...(at !== '' && { at: byServersClock(at, ahead) }),
      ...(code === undefined ? { booking_id: bookingId ?? '' } : { code: code.slice(0, LONGEST_CODE) }),
      ...(places !== null && { places }),
      ...(gate !== null && { gate }),
    }));
    try {
      return await answer(this.#client.POST('/v1/schedules/{schedule_id}/check-ins', { params: this.#path, body }));
    } catch (error) {
      if (NOT_TAKEN.has(asProblem(error).status)) return null;
      throw error;
    }
  }

  async undo(id: string, reason: string): Promise<void> {
    await answer(this.#client.DELETE('/v1/check-ins/{check_in_id}', { params: { path: { check_in_id: id } }, body: { reason } }));
  }

  /** What codes are verified with on this phone. */
  async key(): Promise<JsonWebKey> {
    return answer(this.#client.GET('/v1/tickets/key'));
  }

  async counts(): Promise<Counts> {
    return answer(this.#client.GET('/v1/schedules/{schedule_id}/check-ins', { params: this.#path }));
  }

  /** Everybody who may come in, for when there is no connection. */
  async list(): Promise<ListedTicket[]> {
    const listed: ListedTicket[] = [];
    let cursor: string | null | undefined;
    do {
      const query = { list: 'offline', limit: 200, ...(cursor && { cursor }) };
      const page: Counts = await answer(
        this.#client.GET('/v1/schedules/{schedule_id}/check-ins', { params: { ...this.#path, query } }),
      );
      listed.push(...(page.items ?? []));
      cursor = page.next_cursor;
    } while (cursor);
    return listed;
  }
}

/** When that was, by what is known of the server's clock now; `ahead` is what was known of it then. */
function byServersClock(at: string, ahead = serverClock.ahead): string {
  return new Date(Date.parse(at) - ahead + serverClock.ahead).toISOString();
}

/** Sends as whoever has the link. */
function by(token: string): (request: Request) => Promise<Response> {
  return (request) => {
    request.headers.set('Authorization', `Bearer ${token}`);
    request.headers.set('Accept-Language', document.documentElement.lang);
    return reached(request);
  };
}
