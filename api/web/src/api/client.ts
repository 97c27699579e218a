/**
 * The one way to ask the API.
 *
 *     const booking = await answer(api.GET('/v1/bookings/{booking_id}', { params: { path: { booking_id: id } } }));
 *
 * Paths, parameters and answers are typed by the API's own document. `answer` gives the body or throws a `Problem`. A token
 * that has ended is renewed silently; where that isn't possible, the reader is asked to log in, over the page, and the
 * request goes out again: nothing that was chosen or typed is lost.
 */

import createClient from 'openapi-fetch';
import type { paths } from './openapi';
import { problemOf, reached } from './problem.ts';
import { session } from './session.svelte.ts';

export const api = createClient<paths>({ fetch: send });

/** What an answer of openapi-fetch holds. */
interface Answered<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

/** The answer's body. Throws a `Problem`. */
export async function answer<T>(asked: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw problemOf(response, error);
  return data as T;
}

/** Sends a request as whoever is logged in; for what isn't JSON, and for paths the document doesn't have. */
export async function send(request: Request): Promise<Response> {
  const again = request.clone();
  const token = await session.token();
  const response = await sendWith(request, token);
  if (response.status !== 401) return response;
  const renewed = token !== null && (await session.renew());
  if (!renewed && !(await session.demand())) return response;
  return sendWith(again, await session.token());
}

async function sendWith(request: Request, token: string | null): Promise<Response> {
  request.headers.set('Accept-Language', document.documentElement.lang);
  if (token !== null) request.headers.set('Authorization', `Bearer ${token}`);
  return reached(request);
}
