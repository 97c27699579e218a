/** Lists that are shown whole: read page by page, to their end. */

const MOST = 200; // the API's largest page

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor: string | null;
}

export async function everything<Item>(read: (query: { limit: number; cursor?: string }) => Promise<Page<Item>>): Promise<readonly Item[]> {
  const found: Item[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Item> = await read({ limit: MOST, ...(cursor === null ? {} : { cursor }) });
    found.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return found;
}
