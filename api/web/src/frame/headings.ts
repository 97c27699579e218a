/** What a page about one schedule is called: what is played and when, and its own title until that is known. */

import type { Schedule } from '../api/shapes.ts';
import { language } from '../words/language.svelte.ts';
import { dayAndTime } from '../words/moments.ts';

type Played = Pick<Schedule, 'performance_title' | 'performance_title_en' | 'starts_at' | 'time_zone'>;
interface Words {
  readonly title: string;
  readonly of: (title: string, at: string) => string;
}

export function headingOf(schedule: Played | undefined, words: Words): string {
  if (schedule === undefined) return words.title;
  const at = dayAndTime(schedule.starts_at, language.chosen, schedule.time_zone);
  return words.of(language.either(schedule.performance_title, schedule.performance_title_en), at);
}
