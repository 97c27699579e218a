/** The customer's own account: what belongs to it besides who is logged in (`session.svelte.ts`). */

import { send } from './client.ts';
import { problemOf } from './problem.ts';

/** Sends a request that the API's document doesn't type. Throws a `Problem`. */
async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  const response = await send(new Request(path, init));
  const answered: unknown = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw problemOf(response, answered);
  return answered;
}

export interface Change {
  readonly name?: string | null;
  readonly language?: 'ko' | 'en';
  readonly password?: string;
  readonly current_password?: string;
}

export async function change(values: Change): Promise<void> {
  await ask('PATCH', '/v1/accounts/me', values);
}

export async function forget(): Promise<void> {
  await ask('DELETE', '/v1/accounts/me');
}

export async function requestReset(email: string): Promise<void> {
  await ask('POST', '/v1/password-resets', { email });
}

export async function reset(token: string, password: string): Promise<void> {
  await ask('POST', `/v1/password-resets/${encodeURIComponent(token)}`, { password });
}

export async function confirmEmail(token: string): Promise<void> {
  await ask('POST', `/v1/email-confirmations/${encodeURIComponent(token)}`, {});
}

export async function requestConfirmation(): Promise<void> {
  await ask('POST', '/v1/email-confirmations', {});
}

export interface OwnSession {
  readonly id: string;
  readonly created_at: string;
  readonly current?: boolean;
}

export async function listSessions(): Promise<readonly OwnSession[]> {
  return ((await ask('GET', '/v1/sessions')) as { items: OwnSession[] }).items;
}

export async function endSession(id: string): Promise<void> {
  await ask('DELETE', `/v1/sessions/${id}`);
}
