/** Starts the service worker (`worker.ts`), which serves what is kept when there is no connection. */

import { KINDS } from './names.ts';

declare global {
  interface Window {
    /** Of Trusted Types this much is needed; browsers without them take strings. */
    readonly trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(): string }): { createScriptURL(url: string): string } };
  }
}

/** The one address of a script that is not in the markup, which tells it where to look. The policy's name is in the server's content security policy. */
const WORKER = `/sw.js?${KINDS.map((name) => `cache=${name}`).join('&')}`;
const policy = window.trustedTypes?.createPolicy('boxoffice', { createScriptURL: () => WORKER });

/** Has the browser ask the service worker first, from the next page on. */
export async function startWorker(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register(policy?.createScriptURL('') ?? WORKER).catch(() => undefined);
}
