/**
 * What was typed and not saved yet, kept in this tab until it is: a reload, a slip of the finger or a log-in loses nothing.
 *
 * A draft belongs to one account and one page. One made by an older form, whose parts have other names, is no draft any more.
 */

export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const PREFIX = 'boxoffice.draft';

export function keyOf(accountId: string, page: string): string {
  return `${PREFIX}.${accountId}.${page}`;
}

/** The draft that is kept, if it has the parts of `like`. */
export function kept<T extends object>(shelf: Shelf, key: string, like: T): T | null {
  try {
    const value: unknown = JSON.parse(shelf.getItem(key) ?? 'null');
    return isLike(value, like) ? value : null;
  } catch {
    return null;
  }
}

/** Keeps it. False where it is too large for the shelf: then nothing is kept rather than half of it. */
export function keep(shelf: Shelf, key: string, value: object): boolean {
  try {
    shelf.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    shelf.removeItem(key);
    return false;
  }
}

function isLike<T extends object>(value: unknown, like: T): value is T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const names = Object.keys(like);
  return names.every((name) => kindOf((value as Record<string, unknown>)[name]) === kindOf((like as Record<string, unknown>)[name]));
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'list' : typeof value;
}
