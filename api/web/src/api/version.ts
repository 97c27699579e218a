/** The version of the pages that run here, as their shell says; newer ones may be served by now (`/pages-version`). */
export function version(): string | undefined {
  return document.querySelector<HTMLMetaElement>('meta[name="version"]')?.content;
}
