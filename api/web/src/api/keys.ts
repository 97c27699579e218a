/** Idempotency keys: one for all tries of one wish, so that a wish sent twice is carried out once. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** The key of whatever a form holds: the same while it is sent again, another one as soon as it wishes something else. */
export class FormKey {
  #key = '';
  #wish = '';

  of(wish: unknown): string {
    const text = JSON.stringify(wish);
    if (text !== this.#wish) [this.#key, this.#wish] = [newKey(), text];
    return this.#key;
  }
}
