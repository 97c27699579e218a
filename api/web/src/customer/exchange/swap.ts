/**
 * As many seats as before, some of them others: what pressing a place makes of a wish, and what the exchange comes to. Of another
 * date all are others, whatever they are called.
 *
 * Places are ids, as in a booking: a standing area's id occurs once a place.
 */

/**
 * What is wanted after `id` was pressed: out if it was in; else in, for one of their own, or for the one chosen first. `count` places
 * are wanted in all: as many as their own, unless none of the house are.
 */
export function pressed(own: readonly string[], wish: readonly string[], id: string, count = own.length): readonly string[] {
  if (wish.includes(id)) return without(wish, [id]);
  return taken(own, wish, id, count);
}

/** What is wanted with one place more of `id`; another leaves where there are as many as there were. */
export function taken(own: readonly string[], wish: readonly string[], id: string, count = own.length): readonly string[] {
  if (wish.length < count) return [...wish, id];
  const fresh = without(wish, own);
  // Who takes their own seat back means it instead of a new one.
  const leaving = without(own, wish).includes(id) ? fresh[0] : (wish.find((each) => own.includes(each)) ?? fresh[0]);
  return [...without(wish, leaving === undefined ? [] : [leaving]), id];
}

/** `ids` without one of each of `less`. */
export function without(ids: readonly string[], less: readonly string[]): readonly string[] {
  const left = [...less];
  return ids.filter((id) => {
    const at = left.indexOf(id);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

export interface Comparison {
  /** Places that are new, and those that are given up for them. */
  readonly added: readonly string[];
  readonly givenUp: readonly string[];
  /** What the new ones cost now, and what was paid for the others. */
  readonly costs: number;
  readonly paid: number;
}

/** What a wish comes to: a place that stays keeps the price it was bought at, as the server has it. */
export function compared(own: readonly { readonly id: string; readonly price: number }[], wish: readonly string[], priceOf: (id: string) => number): Comparison {
  const ids = own.map(({ id }) => id);
  const added = without(wish, ids);
  const staying = [...wish];
  const leaving = own.filter(({ id }) => {
    const at = staying.indexOf(id);
    if (at >= 0) staying.splice(at, 1);
    return at < 0;
  });
  return {
    added,
    givenUp: leaving.map(({ id }) => id),
    costs: added.reduce((sum, id) => sum + priceOf(id), 0),
    paid: leaving.reduce((sum, { price }) => sum + price, 0),
  };
}
