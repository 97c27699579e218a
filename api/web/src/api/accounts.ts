/** The customer's own account: what belongs to it besides who is logged in (`session.svelte.ts`). */

import { answer, api } from './client.ts';
import type { Answer } from './shapes.ts';

export interface Change {
  readonly name?: string | null;
  readonly language?: 'ko' | 'en';
  readonly password?: string;
  readonly current_password?: string;
}

export async function change(values: Change): Promise<void> {
  await answer(api.PATCH('/v1/accounts/me', { body: values }));
}

export async function forget(): Promise<void> {
  await answer(api.DELETE('/v1/accounts/me'));
}

export async function requestReset(email: string): Promise<void> {
  await answer(api.POST('/v1/password-resets', { body: { email } }));
}

export async function reset(token: string, password: string): Promise<void> {
  await answer(api.POST('/v1/password-resets/{token}', { params: { path: { token } }, body: { password } }));
}

export async function confirmEmail(token: string): Promise<void> {
  await answer(api.POST('/v1/email-confirmations/{token}', { params: { path: { token } } }));
}

export async function requestConfirmation(): Promise<void> {
  await answer(api.POST('/v1/email-confirmations'));
}

export type OwnSession = Answer<'/v1/sessions'>['items'][number];

export async function listSessions(): Promise<readonly OwnSession[]> {
  return (await answer(api.GET('/v1/sessions'))).items;
}

export async function endSession(id: string): Promise<void> {
  await answer(api.DELETE('/v1/sessions/{session_id}', { params: { path: { session_id: id } } }));
}
