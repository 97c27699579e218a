/** Idempotency keys: one for all tries of one wish, so that a wish sent twice is carried out once. */
export function newKey(): string {
  return crypto.randomUUID();
}
