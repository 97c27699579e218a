/** Where a place in line is asked about: once, or as it changes. */

import { answer, api, send } from '../../api/client.ts';
import { type Place, forgetPass, join, noted } from './passes.ts';
import { Problem, type ProblemDocument, problemOf } from '../../api/problem.ts';
import type { Counts } from '../../api/shapes.ts';
import { EventReader } from '../../seats/live/events.ts';
import type { Source, Told } from './line.ts';

/** The server says something every 18 seconds at most; a stream that is silent for longer is broken, and nobody told us. */
const SILENT_MS = 45_000;

/** What is left of each category, dearest first. */
export async function loadCounts(scheduleId: string): Promise<Counts> {
  return answer(api.GET('/v1/schedules/{schedule_id}/availability', { params: { path: { schedule_id: scheduleId } } }));
}

export function sourceOf(scheduleId: string): Source {
  return { join: () => join(scheduleId), look, leave, follow, wait };
}

async function look(ticket: string): Promise<Place> {
  return noted(await answer(api.GET('/v1/queue/{ticket}', { params: { path: { ticket } } })));
}

async function leave({ ticket, schedule_id }: Place): Promise<void> {
  forgetPass(schedule_id);
  await answer(api.DELETE('/v1/queue/{ticket}', { params: { path: { ticket } } }));
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    const stop = () => (clearTimeout(timer), reject(signal.reason as Error));
    signal.addEventListener('abort', stop, { once: true });
    addEventListener('online', () => resolve(), { once: true, signal }); // there is a connection again
  });
}

async function follow(ticket: string, signal: AbortSignal): Promise<AsyncIterable<Told>> {
  const response = await send(new Request(`/v1/queue/${ticket}/stream`, { signal, cache: 'no-store' }));
  if (!response.ok || response.body === null) throw problemOf(response, await response.json().catch(() => null));
  return toldBy(response.body.getReader());
}

async function* toldBy(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncIterable<Told> {
  const decoder = new TextDecoder();
  const events = new EventReader();
  for (;;) {
    const silent = setTimeout(() => void reader.cancel(), SILENT_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    for (const { event, data } of events.take(decoder.decode(value, { stream: true }))) yield told(event, data);
  }
}

function told(event: string, data: string): Told {
  const document: unknown = JSON.parse(data);
  if (event !== 'interrupted' && event !== 'over') return { kind: 'place', place: noted(document as Place) };
  const problem = document as ProblemDocument & { readonly retry_after?: number };
  return { kind: event, problem: new Problem(problem, problem.retry_after ?? null) };
}
