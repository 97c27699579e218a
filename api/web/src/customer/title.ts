/** What a booking is called: by what is played, in the language that is read. */

import type { Booking } from '../api/shapes.ts';
import { language } from '../words/language.svelte.ts';

export function titleOf({ schedule }: Pick<Booking, 'schedule'>): string {
  if (!schedule) return language.words.booking.title;
  return language.either(schedule.performance_title, schedule.performance_title_en);
}
