/**
 * The service worker: what was kept for offline use (`api/kept`) is served when there is no connection. With one,
 * everything comes from the server as ever; only files whose names carry their digest are taken from what is kept, and a
 * door's page, where the server takes too long.
 *
 * It imports nothing: not every browser takes a service worker that is a module.
 */

// Of TypeScript's types for workers this much is needed; all of them contradict those of pages.
interface Lasting extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Asking extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Worker {
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: 'install' | 'activate', heard: (event: Lasting) => void): void;
  addEventListener(kind: 'fetch', heard: (event: Asking) => void): void;
}
const worker = self as unknown as Worker;

const CACHES = new URL(location.href).searchParams.getAll('cache');
const LASTING = /^\/(assets\/|icon\.svg$)/;
const KEPT = /^\/v1\/bookings\/[0-9a-f-]{36}(\/ticket)?$/; // a booking, and its ticket
const AT_DOOR = /^\/door\//;
const DOOR = '/door'; // what its page is kept as, whichever door it is of
const PATIENCE_MS = 3_000;

worker.addEventListener('install', () => void worker.skipWaiting());
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  if (request.mode === 'navigate') event.respondWith(AT_DOOR.test(url.pathname) ? opened(request) : served(request, '/'));
  else if (LASTING.test(url.pathname)) event.respondWith(kept(request, request.url));
  else if (KEPT.test(url.pathname)) event.respondWith(served(request, request.url));
});

/** The page of a door. Whoever stands there waits for no line that is dead without saying so, and for no server that is down. */
async function opened(request: Request): Promise<Response> {
  const found = await lookedUp(DOOR);
  if (found === undefined) return served(request, '/');
  const given = fetch(request).then((answer) => (answer.status < 500 ? answer : found), () => found);
  const waited = new Promise<Response>((resolve) => setTimeout(() => resolve(found), PATIENCE_MS));
  return Promise.race([given, waited]);
}

/** From the server, or without a connection what is kept under `name`. */
async function served(request: Request, name: string): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await lookedUp(name);
    if (found === undefined) throw error;
    return found;
  }
}

/** What is kept under `name`, or else from the server. */
async function kept(request: Request, name: string): Promise<Response> {
  return (await lookedUp(name)) ?? fetch(request);
}

async function lookedUp(name: string): Promise<Response | undefined> {
  for (const cacheName of CACHES) {
    const found = await caches.match(name, { cacheName, ignoreVary: true });
    if (found !== undefined) return found;
  }
  return undefined;
}
