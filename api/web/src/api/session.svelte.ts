/**
 * Who is logged in, and the access token of their requests.
 *
 * The access token lives in this page's memory alone. The refresh token is a cookie that no script can read; a page that is
 * loaded anew gets its access token by it. What is stored in the browser is only that a session may exist, so that a
 * stranger's page asks for nothing.
 *
 *     session.account            null, or who is logged in (reactive); until they answer, also who has to log in again
 *     await session.logIn(…)     throws a Problem
 *     await session.demand()     true once somebody is logged in: asks with a sheet over the page, false if they decline;
 *                                throws a Problem where nobody can say now
 */

import { Problem, answeredSoon, asProblem, offline, problemOf, reached } from './problem.ts';
import { forgetKept } from './kept/names.ts';
import { onDevice } from '../storage.ts';

export interface Account {
  readonly id: string;
  readonly email: string;
  readonly name: string | null;
  readonly role: string;
  readonly language: string;
  readonly email_confirmed: boolean;
}

interface Tokens {
  readonly access_token: string;
  readonly expires_in: number;
}

const BROWSER_SESSIONS = '/v1/sessions/browser';
const HINT = 'boxoffice.session'; // says that a session may exist; holds nothing of it
const MAY_EXIST = 'yes';
const TO_BE_ENDED = 'leaving'; // whoever it was has logged out, and the server has not heard of it yet
const RENEW_BEFORE_MS = 20_000; // a token this close to its end is renewed first

class Session {
  account = $state<Account | null>(null);
  /** Whether it is known yet who is logged in. */
  known = $state(false);
  /** Whether the log-in sheet is asked for; it calls `answered` when it is done. */
  asking = $state(false);

  /** Why nobody can say now whether somebody who was logged in still is: no connection, or a server that has too much to do. */
  #trouble = $state.raw<Problem | null>(null);
  #token: string | null = null;
  #renewAt = 0;
  #renewing: Promise<boolean> | null = null;
  #leaving: Promise<void> | null = null;
  #waiting: ((loggedIn: boolean) => void)[] = [];
  #others = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(HINT);

  get unreachable(): boolean {
    return this.#trouble !== null;
  }

  /** Finds out whether the browser has a session. Ends when that is known. */
  async start(): Promise<void> {
    this.#others?.addEventListener('message', (event: MessageEvent<string>) => void this.#heard(event.data));
    addEventListener('online', () => (this.#leaving = this.#leave()));
    await (this.#leaving = this.#leave());
    if (onDevice.getItem(HINT) === MAY_EXIST) await this.renew();
    this.known = true;
  }

  async #heard(news: string): Promise<void> {
    if (news === 'out') this.#forget();
    else await this.renew(); // as whoever has logged in there: the cookie is theirs now
  }

  /** The access token to send, renewed where its end is near; null while nobody is logged in. */
  async token(): Promise<string | null> {
    if (this.#token !== null && Date.now() >= this.#renewAt) await this.renew();
    return this.#token;
  }

  async logIn(email: string, password: string): Promise<void> {
    await this.#leaving; // or its end would take the new cookie with it
    const tokens = await ask('POST', BROWSER_SESSIONS, { email, password });
    forgetKept(); // of whoever it was: a page that began without a connection does not know
    await this.#take(tokens);
    this.#others?.postMessage('in');
    this.answered(true);
  }

  /** A new access token by the cookie; false where there is no session (any more). One at a time in all tabs. */
  renew(): Promise<boolean> {
    this.#renewing ??= this.#renewed().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renewed(): Promise<boolean> {
    const refresh = () => ask('POST', `${BROWSER_SESSIONS}/refresh`, {});
    try {
      const tokens = await ('locks' in navigator ? navigator.locks.request(HINT, refresh) : refresh());
      if (onDevice.getItem(HINT) === TO_BE_ENDED) return false; // they have logged out meanwhile
      await this.#take(tokens);
      return true;
    } catch (error) {
      const problem = asProblem(error);
      this.#trouble = problem.isUncertain || problem.status === 429 ? problem : null;
      if (problem.status === 401) this.#lapse();
      return false;
    }
  }

  /** Forgets here and at once whoever it was, also without a connection; the server is told as soon as it can be reached. */
  logOut(): void {
    this.#forget();
    onDevice.setItem(HINT, TO_BE_ENDED);
    this.#others?.postMessage('out');
    this.#leaving = this.#leave();
  }

  /** Tells the server of a log-out that it has not heard of, if there is one. */
  async #leave(): Promise<void> {
    if (onDevice.getItem(HINT) !== TO_BE_ENDED) return;
    try {
      await ask('DELETE', BROWSER_SESSIONS);
    } catch {
      return; // with the next page, or when there is a connection again
    }
    if (onDevice.getItem(HINT) === TO_BE_ENDED) onDevice.removeItem(HINT);
  }

  /** After the server has ended the session: a new password, a deleted account. */
  ended(): void {
    this.#forget();
    this.#others?.postMessage('out');
  }

  /** Whether somebody is logged in; if nobody is, they are asked to, over the page. */
  async demand(): Promise<boolean> {
    if (this.#token !== null && this.#trouble === null) return true;
    if (onDevice.getItem(HINT) === MAY_EXIST && (await this.renew())) return true;
    if (this.#trouble !== null) throw this.#trouble;
    this.asking = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends the asking. */
  answered(loggedIn: boolean): void {
    this.asking = false;
    if (!loggedIn && this.#token === null) this.account = null;
    for (const resolve of this.#waiting.splice(0)) resolve(loggedIn);
  }

  async #take(answer: unknown): Promise<void> {
    const tokens = answer as Tokens;
    this.#trouble = null;
    this.#token = tokens.access_token;
    this.#renewAt = Date.now() + tokens.expires_in * 1000 - RENEW_BEFORE_MS;
    onDevice.setItem(HINT, MAY_EXIST);
    this.#know((await ask('GET', '/v1/accounts/me', undefined, this.#token)) as Account);
  }

  /** Takes in who the token is of: whoever it was, or somebody else who has logged in on a page of ours meanwhile. */
  #know(account: Account): void {
    if (this.account !== null && this.account.id !== account.id) forgetKept();
    if (JSON.stringify(account) !== JSON.stringify(this.account)) this.account = account;
  }

  /** Reads the account anew, after it was changed. */
  async reread(): Promise<void> {
    this.#know((await ask('GET', '/v1/accounts/me', undefined, await this.token())) as Account);
  }

  #forget(): void {
    this.#trouble = null;
    this.#lapse();
    this.account = null;
  }

  /** The server knows the session no more. The page stays as it is until they have answered whether they log in again. */
  #lapse(): void {
    forgetKept();
    this.#token = null;
    if (onDevice.getItem(HINT) === MAY_EXIST) onDevice.removeItem(HINT);
  }
}

/** A request of the session's own, past the client that asks the session for its token. */
async function ask(method: string, path: string, body?: unknown, token?: string | null): Promise<unknown> {
  const headers = new Headers({ 'Accept-Language': document.documentElement.lang });
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  if (token) headers.set('Authorization', `Bearer ${token}`);
  const response = await reached(
    new Request(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      keepalive: method === 'DELETE', // a log-out arrives, though the tab be closed at once
      signal: answeredSoon(), // in all tabs everything waits for a token that is being renewed
    }),
  );
  if (response.status === 204) return null;
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok && answer === null) throw offline(); // it broke off
  if (!response.ok) throw problemOf(response, answer);
  return answer;
}

export const session = new Session();
