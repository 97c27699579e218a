/**
 * Keeps a page itself: its shell, and every file that shows it. What is kept is of one version always, so that it runs whatever is
 * served meanwhile; the next page that is loaded renews it.
 */

import { version } from '../version.ts';

const FILE = /\/assets\/[^"]+/g;

/**
 * Keeps the page at `path` under `name`. False where it does not come back: while newer pages are served than run here, whose
 * other files nobody has loaded, and none of before are kept. Throws where the browser cannot keep it.
 */
export async function keepShell(cache: Cache, path: string, name: string): Promise<boolean> {
  const before = await cache.match(name);
  const shell = await fetch(path);
  const text = await shell.clone().text();
  const mine = (markup: string) => markup.includes(`name="version" content="${version()}"`);
  if (!shell.ok || !mine(text)) return before !== undefined;
  const files = new Set(['/icon.svg', ...(text.match(FILE) ?? []), ...loaded()]);
  const there = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  await cache.addAll([...files].filter((file) => !there.has(file)));
  const newer = before !== undefined && !mine(await before.text());
  await cache.put(name, shell);
  for (const file of newer ? there : []) if (file.startsWith('/assets/') && !files.has(file)) await cache.delete(file);
  return true;
}

/** The files that were loaded until now, those among them that come only when they are needed. */
function loaded(): string[] {
  return performance
    .getEntriesByType('resource')
    .map((entry) => new URL(entry.name))
    .filter((url) => url.origin === location.origin && url.pathname.startsWith('/assets/'))
    .map((url) => url.pathname);
}
