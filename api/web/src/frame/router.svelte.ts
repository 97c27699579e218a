/**
 * Where the reader is, and how they get somewhere else without loading a page.
 *
 *     place.path, place.query    reactive
 *     go('/bookings')            also `replace: true`, for what the back button should not come to
 *
 * Every link to a page of ours is an ordinary `<a href>`; a click on one is taken here. Back and forward bring the scroll
 * position back; any other move starts at the top and gives the focus to the page's heading.
 */

class Place {
  path = $state(location.pathname);
  query = $state(new URLSearchParams(location.search));
  /** Rises with every move that isn't back or forward. */
  moves = $state(0);
}

export const place = new Place();

export function go(to: string, { replace = false } = {}): void {
  const url = new URL(to, location.href);
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  follow();
  place.moves += 1;
  scrollTo(0, 0);
}

/** Changes the query of the page that is shown, as filters do: no new page, no lost focus. */
export function refine(query: URLSearchParams): void {
  const text = query.toString();
  history.replaceState(null, '', text === '' ? place.path : `${place.path}?${text}`);
  place.query = query;
}

/** Where somebody wanted to go before they were asked to log in (`?next=`): one of our pages, or the first one. */
export function next(): string {
  const wanted = place.query.get('next') ?? '/';
  if (!wanted.startsWith('/')) return '/';
  try {
    // As browsers read it: they overlook tabs and take a backslash for a slash.
    const { origin, pathname, search, hash } = new URL(wanted, location.origin);
    return origin === location.origin ? `${pathname}${search}${hash}` : '/';
  } catch {
    return '/';
  }
}

function follow(): void {
  if (place.path !== location.pathname) place.path = location.pathname;
  place.query = new URLSearchParams(location.search);
}

/** What is served under an address of its own, not by the pages. */
const ELSEWHERE = /^\/(v1|docs|openapi\.json|asyncapi\.json|problems|metrics|assets)(\/|$)/;

function taken(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (link === null || link.target !== '' || link.hasAttribute('download') || link.href === '') return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || ELSEWHERE.test(url.pathname)) return;
  if (url.pathname === location.pathname && url.search === location.search && url.hash !== '') return;
  event.preventDefault();
  go(url.href);
}

/** Starts following clicks and the back button. */
export function startRouting(): void {
  document.addEventListener('click', taken);
  addEventListener('popstate', follow);
}

/** What an address says in percent signs; as it stands where it says nothing: then it names nothing either. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The parts of `path` that `pattern` names (`/b/{id}`), or null where it is another path. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const names: string[] = [];
  const form = pattern.replace(/\{(\w+)\}/g, (_, name: string) => {
    names.push(name);
    return '([^/]+)';
  });
  const found = new RegExp(`^${form}/?$`).exec(path);
  if (found === null) return null;
  return Object.fromEntries(names.map((name, index) => [name, decoded(found[index + 1] ?? '')]));
}
