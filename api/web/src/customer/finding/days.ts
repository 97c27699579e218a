/** The days on which something is played, each by the clocks of where that is. */

import { dateOf } from '../../words/moments.ts';

/** What of a date its day depends on. */
interface Played {
  readonly starts_at: string;
  readonly time_zone: string;
}

export interface PlayedDay<T> {
  /** The calendar day there: `2026-12-24`. */
  readonly date: string;
  readonly dates: readonly T[];
}

/** The days in order, each with its dates by start. */
export function daysOf<T extends Played>(dates: readonly T[]): readonly PlayedDay<T>[] {
  const days = new Map<string, T[]>();
  for (const each of [...dates].sort((a, b) => a.starts_at.localeCompare(b.starts_at))) {
    const date = dateOf(each.starts_at, each.time_zone);
    days.set(date, [...(days.get(date) ?? []), each]);
  }
  return [...days].map(([date, of]) => ({ date, dates: of })).sort((a, b) => a.date.localeCompare(b.date));
}
