/**
 * The service worker: what was kept for offline use (`api/offline.ts`) is served when there is no connection. With one,
 * everything comes from the server as ever; only files whose names carry their digest are taken from what is kept.
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

const CACHE = new URL(location.href).searchParams.get('cache') ?? '';
const LASTING = /^\/(assets\/|icon\.svg$)/;
const KEPT = /^\/v1\/bookings\/[0-9a-f-]{36}(\/ticket)?$/; // a booking, and its ticket

worker.addEventListener('install', () => void worker.skipWaiting());
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  if (request.mode === 'navigate') event.respondWith(served(request, '/'));
  else if (LASTING.test(url.pathname)) event.respondWith(kept(request, request.url));
  else if (KEPT.test(url.pathname)) event.respondWith(served(request, request.url));
});

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
  if (!(await caches.has(CACHE))) return undefined; // opening it would make it
  return (await caches.open(CACHE)).match(name, { ignoreVary: true });
}
