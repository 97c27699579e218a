/**
 * Idempotency keys: one for all tries of one wish, so that a wish sent twice is carried out once. Each is a UUID (version 4).
 *
 * Not by `crypto.randomUUID`: browsers give it to pages that come by https or from the same machine, and to no others. A first
 * look from a phone in the house's own network is by plain http.
 */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
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
