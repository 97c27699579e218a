/** What somebody in line is shown, from what is known of their place and what time it is. */

import type { Standing } from './line.ts';

export type Shown =
  | 'joining'
  /** Before the opening: places are drawn with it. */
  | 'before'
  /** The sale has opened, and the place that was drawn is not known here yet. */
  | 'drawing'
  | 'waiting'
  | 'admitted'
  | 'left'
  /** They were let in and did not come, or held nothing in time. */
  | 'over'
  | 'closed'
  | 'cancelled'
  | 'unknown'
  /** For another reason, which the server has told. */
  | 'refused';

const ENDS: Readonly<Record<string, Shown>> = {
  queue_turn_over: 'over',
  sale_closed: 'closed',
  schedule_cancelled: 'cancelled',
  schedule_not_found: 'unknown',
  validation_failed: 'unknown', // no id at all
};

/** `now`: by the server's clock. */
export function shownOf({ place, end }: Standing, now: number): Shown {
  if (end === 'left') return 'left';
  if (end !== null) return ENDS[end.code] ?? 'refused';
  if (place === null) return 'joining';
  if (place.status === 'admitted') return place.pass_expires_at !== null && Date.parse(place.pass_expires_at) <= now ? 'over' : 'admitted';
  if (place.ahead !== null) return 'waiting';
  return place.opens_at !== null && now < Date.parse(place.opens_at) ? 'before' : 'drawing';
}

/** A wait as people say it: so many minutes, and from two hours on hours. Nobody is told more than is known. */
export function spokenWait(seconds: number): { readonly unit: 'minutes' | 'hours'; readonly count: number } {
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 120) return { unit: 'minutes', count: minutes <= 10 ? minutes : Math.ceil(minutes / 5) * 5 };
  return { unit: 'hours', count: Math.round(minutes / 60) };
}
