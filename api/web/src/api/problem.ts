/**
 * What a request can end in other than an answer: a problem document of the API (RFC 9457), or no connection.
 *
 * Everything that waits for an answer may throw a `Problem` and nothing else; its `title` and `detail` are sentences in the
 * reader's language, made by the server, or by the words of `offline` where there was no server to make them.
 */

import { serverClock } from './clock.ts';

export interface ProblemDocument {
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
  readonly [fact: string]: unknown;
}

export class Problem extends Error {
  readonly document: ProblemDocument;
  /** Seconds until it makes sense to ask again; null where asking again changes nothing. */
  readonly retryAfterSeconds: number | null;

  constructor(document: ProblemDocument, retryAfterSeconds: number | null = null) {
    super(document.code);
    this.document = document;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get code(): string {
    return this.document.code;
  }

  get status(): number {
    return this.document.status;
  }

  /** Whether nobody can know what became of the request: it may have been carried out. */
  get isUncertain(): boolean {
    return this.status === 0 || this.status >= 500 || this.code === 'idempotency_in_progress';
  }

  /** The page that comes first, where seats are to be had by a waiting room only. */
  get waitingRoom(): string | null {
    const { queue_url: url } = this.document;
    return typeof url === 'string' ? url.replace('/v1/schedules/', '/s/') : null;
  }

  /** What the server says about one field of a form. */
  messageFor(field: string): string | undefined {
    return this.document.errors?.find((each) => each.field === field)?.message;
  }
}

/** The code of a problem that no server made: the request got no answer. */
export const OFFLINE = 'offline';

/** A problem without a server. `title` and `detail` are filled in by whoever shows it. */
export function offline(): Problem {
  return new Problem({ code: OFFLINE, title: '', status: 0, detail: '' });
}

const ANSWERED_MS = 20_000; // the server itself gives up after 15 s

/**
 * Gives a request up that is not answered soon, as if there were no connection: a line that is dead without saying so would keep it
 * for many minutes, and whatever waits behind it. For what may be sent again, and holds up others.
 */
export const answeredSoon = (): AbortSignal => AbortSignal.timeout(ANSWERED_MS);

/** The server's answer, whatever it says. Throws a `Problem` where there is none. */
export async function reached(request: Request): Promise<Response> {
  const sentMs = Date.now();
  try {
    const response = await fetch(request);
    serverClock.heard(response.headers, sentMs);
    return response;
  } catch {
    throw offline();
  }
}

/** The problem that an answer carries, whatever it is made of. */
export function problemOf(response: Response, body: unknown): Problem {
  const seconds = Number.parseInt(response.headers.get('Retry-After') ?? '', 10);
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  if (typeof body === 'object' && body !== null && 'code' in body && 'title' in body) {
    return new Problem(body as ProblemDocument, retryAfter);
  }
  const document = { code: 'unreadable', title: '', status: response.status, detail: '' };
  return new Problem(document, retryAfter);
}

/** `error` as a problem; what isn't one is a bug and goes on. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}
