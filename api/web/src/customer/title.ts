/** What a booking is called, by what is played, in the language that is read; and where that is. */

import type { Booking } from '../api/shapes.ts';
import { language } from '../words/language.svelte.ts';

export function titleOf({ schedule }: Pick<Booking, 'schedule'>): string {
  if (!schedule) return language.words.booking.title;
  return language.either(schedule.performance_title, schedule.performance_title_en);
}

/** The venue's address, as far as somebody has said it. */
export function whereOf({ schedule }: Pick<Booking, 'schedule'>): string {
  const [city, address] = [schedule?.venue_city ?? '', schedule?.venue_address ?? ''];
  return address.includes(city) ? address : `${city} ${address}`.trim();
}
