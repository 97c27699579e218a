/** What was wished of a date for which others were in line before: kept in this tab until its turn has come, over a reload, too. */

import type { Wish } from '../../seats/holds.ts';
import { inTab } from '../../storage.ts';

const keyOf = (scheduleId: string) => `boxoffice.wish.${scheduleId}`;

export function keepWish(scheduleId: string, wish: Wish): void {
  try {
    inTab.setItem(keyOf(scheduleId), JSON.stringify(wish));
  } catch {
    // There is no room: they choose again.
  }
}

/** The wish that was kept, once. */
export function takeWish(scheduleId: string): Wish | null {
  const kept = JSON.parse(inTab.getItem(keyOf(scheduleId)) ?? 'null') as Wish | null;
  inTab.removeItem(keyOf(scheduleId));
  return kept;
}
