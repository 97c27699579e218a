/**
 * Passes for the seats of a date that has a waiting room, which a place in its line comes to.
 *
 * A pass lives in this page's memory alone: whoever loads it anew joins again, and gets the same place or the same pass. Whoever
 * comes while nobody waits is let in by joining, so a date with a waiting room is asked for seats like any other (`hold`).
 */

import { answer, api } from '../../api/client.ts';
import { serverClock } from '../../api/clock.ts';
import type { paths } from '../../api/openapi';
import { Problem } from '../../api/problem.ts';
import type { Answer, Booking } from '../../api/shapes.ts';

export type Place = Answer<'/v1/queue/{ticket}'>;

interface Pass {
  readonly pass: string;
  readonly endsAt: number;
  /** Whether others were waiting when it was given: then there is a line to go back to when it ends. */
  readonly sought: boolean;
}

const passes = new Map<string, Pass>();

/** The pass for the date's seats, while it is good. */
export function passOf(scheduleId: string): Pass | null {
  const pass = passes.get(scheduleId);
  return pass !== undefined && pass.endsAt > serverClock.now() ? pass : null;
}

/** Takes the pass out of what the server says of a place, if there is one. */
export function noted(place: Place): Place {
  const { pass, pass_expires_at, schedule_id, waiting } = place;
  if (pass !== null && pass_expires_at !== null) passes.set(schedule_id, { pass, endsAt: Date.parse(pass_expires_at), sought: waiting > 0 });
  return place;
}

export function forgetPass(scheduleId: string): void {
  passes.delete(scheduleId);
}

/** The customer's place in line: the one there is, or one at the end. */
export async function join(schedule_id: string): Promise<Place> {
  return noted(await answer(api.POST('/v1/schedules/{schedule_id}/queue', { params: { path: { schedule_id } } })));
}

type Hold = paths['/v1/schedules/{schedule_id}/bookings']['post'];
type Wish = Hold['requestBody']['content']['application/json'];

/** Holds seats, with the pass where there is one. Throws a `Problem`, with its `waitingRoom` where others are first. */
export async function hold(schedule_id: string, body: Wish, key: string): Promise<Booking> {
  return letIn(schedule_id, async (pass) => {
    const header = { 'Idempotency-Key': key, 'Queue-Pass': pass };
    return (await answer(api.POST('/v1/schedules/{schedule_id}/bookings', { params: { path: { schedule_id }, header }, body }))) as Booking;
  });
}

/** Does what takes seats of a date, with the pass where there is one; who has none asks for it first. Throws as `hold` does. */
export async function letIn(schedule_id: string, attempt: (pass: string | null) => Promise<Booking>): Promise<Booking> {
  const asked = () => attempt(passOf(schedule_id)?.pass ?? null);
  try {
    return await asked();
  } catch (error) {
    if (!(error instanceof Problem) || error.waitingRoom === null) throw error;
    forgetPass(schedule_id); // somebody else's, who was logged in here before
    if ((await join(schedule_id)).status !== 'admitted') throw error;
    return asked();
  }
}
