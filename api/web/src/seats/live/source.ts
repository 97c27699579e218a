/** Where the picker reads from: layout, states and stream of one schedule. */

import { answer, api } from '../../api/client.ts';
import { offline, problemOf } from '../../api/problem.ts';
import type { Answer } from '../../api/shapes.ts';
import type { Opened, Source } from './live.ts';

export type StatesAnswer = Answer<'/v1/schedules/{schedule_id}/states'>;
export type LayoutAnswer = Answer<'/v1/schedules/{schedule_id}/layout'>;

export async function readStates(schedule_id: string): Promise<StatesAnswer> {
  return answer(api.GET('/v1/schedules/{schedule_id}/states', { params: { path: { schedule_id } } }));
}

/** The layout at the address that has its digest, where the browser keeps it for good. */
export async function readLayout(schedule_id: string, digest: string): Promise<LayoutAnswer> {
  return answer(api.GET('/v1/schedules/{schedule_id}/layout', { params: { path: { schedule_id }, query: { digest } } }));
}

export interface Known {
  /** The version of the terms that are known. */
  readonly terms: () => string;
  /** Takes each answer's terms. */
  readonly heard: (states: StatesAnswer) => void;
  readonly fits: (layout: string) => boolean;
}

export function sourceOf(scheduleId: string, known: Known): Source {
  return {
    read: async () => {
      const states = await readStates(scheduleId);
      if (!known.fits(states.layout)) throw offline();
      known.heard(states);
      return states;
    },
    fits: known.fits,
    open: (after, signal) => openStream(scheduleId, after, known.terms(), signal),
    wait: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, milliseconds);
        signal.addEventListener('abort', () => (clearTimeout(timer), reject(offline())), { once: true });
      }),
  };
}

// Not an EventSource: that one tells neither why a stream is refused nor when to come back.
async function openStream(scheduleId: string, after: number, terms: string, signal: AbortSignal): Promise<Opened> {
  const path = `/v1/schedules/${scheduleId}/stream?packed=true&last_event_id=${after}&terms=${terms}`;
  const response = await fetch(path, { signal, cache: 'no-store' });
  if (!response.ok || response.body === null) {
    return { retryAfterSeconds: problemOf(response, await response.json().catch(() => null)).retryAfterSeconds };
  }
  return { pieces: textOf(response.body) };
}

/** Not every browser can iterate over a body yet. */
async function* textOf(body: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}
