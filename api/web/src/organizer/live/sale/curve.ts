/**
 * What was sold over time, as the plot and its table show it: both are made from the same points, so they cannot differ.
 *
 * Rows come by category and by minute, hour or day; asked for again from a moment on, they take the place of those that are here.
 * What had been sold before the first row follows from the totals.
 */

export type Unit = 'minute' | 'hour' | 'day';

/** What happened to a category's places in a minute, hour or day, told by when it began. */
export interface Row {
  readonly at: string;
  readonly category: string;
  readonly sold: number;
  readonly refunded: number;
  readonly revenue: number;
  readonly fees: number;
}

/** All categories together. */
export interface Point {
  readonly at: string;
  readonly sold: number;
  readonly refunded: number;
  /** Places that belonged to somebody at the end of it. */
  readonly inAll: number;
  /** What was taken in during it, less what was given back. */
  readonly taken: number;
}

/** The rows, with those from the moment on as they are now. */
export function merged(rows: readonly Row[], fresh: readonly Row[], from: string | null): readonly Row[] {
  if (from === null) return fresh;
  const began = Date.parse(from);
  return [...rows.filter(({ at }) => Date.parse(at) < began), ...fresh];
}

/** A point for each time in which something was sold or given back; `soldNow` is what the last one comes to. */
export function pointsOf(rows: readonly Row[], soldNow: number): readonly Point[] {
  const by = new Map<string, { sold: number; refunded: number; taken: number }>();
  for (const { at, sold, refunded, revenue, fees } of rows) {
    const sum = by.get(at) ?? { sold: 0, refunded: 0, taken: 0 };
    by.set(at, { sold: sum.sold + sold, refunded: sum.refunded + refunded, taken: sum.taken + revenue + fees });
  }
  const happened = [...by].filter(([, { sold, refunded }]) => sold !== 0 || refunded !== 0).sort(([one], [other]) => Date.parse(one) - Date.parse(other));
  let inAll = soldNow - happened.reduce((sum, [, { sold, refunded }]) => sum + sold - refunded, 0);
  return happened.map(([at, sums]) => ({ at, ...sums, inAll: (inAll += sums.sold - sums.refunded) }));
}

/** The points as columns: seconds, sold, in all. Before the first and up to `until` the line goes on level. */
export function columnsOf(points: readonly Point[], before: number, until: number, unit: Unit): [number[], (number | null)[], number[]] {
  const [seconds, sold, inAll]: [number[], (number | null)[], number[]] = [[], [], []];
  const put = (at: number, bar: number | null, level: number) => (seconds.push(at), sold.push(bar), inAll.push(level));
  const first = points[0];
  if (first !== undefined) put(Date.parse(first.at) / 1000 - SECONDS[unit], null, before);
  for (const point of points) put(Date.parse(point.at) / 1000, point.sold, point.inAll);
  const [last] = points.slice(-1);
  if (last !== undefined && until / 1000 > Date.parse(last.at) / 1000) put(until / 1000, null, last.inAll);
  return [seconds, sold, inAll];
}

export const SECONDS: Readonly<Record<Unit, number>> = { minute: 60, hour: 3_600, day: 86_400 };
