/**
 * What a page leaves in the browser: on this device, and in this tab. Where the browser lets nobody (all cookies are blocked, and
 * even looking is an error) it is known as long as the page is open, and everything else works.
 */

class Memory implements Storage {
  readonly #values = new Map<string, string>();

  get length(): number {
    return this.#values.size;
  }

  key(index: number): string | null {
    return [...this.#values.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#values.set(key, value);
  }

  removeItem(key: string): void {
    this.#values.delete(key);
  }

  clear(): void {
    this.#values.clear();
  }
}

function allowed(storage: () => Storage): Storage {
  try {
    return storage();
  } catch {
    return new Memory();
  }
}

export const onDevice = allowed(() => localStorage);
export const inTab = allowed(() => sessionStorage);

/** Whether it is there after the page has gone. */
export function lasts(storage: Storage): boolean {
  return !(storage instanceof Memory);
}
