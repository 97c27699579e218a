/**
 * How often something is played, as people choose it, and as the rule (RFC 5545) that the API takes.
 *
 * The first time of a day stands in the rule itself; further times are listed one by one, for a rule would combine every hour
 * with every minute. Dates left out are listed, too. What the rule comes to is the API's to say: it alone knows the clocks there.
 */

import { dayAfter } from './local.ts';

export type Frequency = 'once' | 'daily' | 'weekly' | 'rule';

export interface Choice {
  /** The first start, as clocks there show it: `2027-12-24T19:30`. */
  start: string;
  frequency: Frequency;
  /** Weekdays besides the first date's own, 0 Sunday to 6 Saturday. */
  weekdays: number[];
  /** The last day on which it may be played. */
  until: string;
  /** Further times of each day: `14:00`. */
  times: string[];
  /** Starts that are left out, as clocks there show them. */
  without: string[];
  /** A rule written by hand. */
  rule: string;
}

const CODES = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];
const MOST_DAYS = 366 * 3; // the API looks no further
const TIME = /^\d\d:\d\d$/;

export function weekdayOf(day: string): number {
  return new Date(`${day}T00:00Z`).getUTCDay();
}

/** The weekdays that are played, from Monday on. */
export function weekdaysOf(choice: Choice): number[] {
  const first = weekdayOf(choice.start.slice(0, 10));
  const fromMonday = (weekday: number) => (weekday + 6) % 7;
  return [...new Set([first, ...choice.weekdays])].sort((a, b) => fromMonday(a) - fromMonday(b));
}

/** The times of a day, the earliest first; it is the start's own unless another one comes before it. */
export function timesOf(choice: Choice): string[] {
  return [...new Set([choice.start.slice(11), ...choice.times.filter((time) => TIME.test(time))])].sort();
}

/** The very first start: the rule begins there. */
export function firstOf(choice: Choice): string {
  return choice.frequency === 'rule' ? choice.start : `${choice.start.slice(0, 10)}T${timesOf(choice)[0] ?? ''}`;
}

/** Whether it says which dates it means: what is played again and again needs a last day, or a rule. */
export function isSaid(choice: Choice): boolean {
  if (choice.frequency === 'once') return true;
  return choice.frequency === 'rule' ? choice.rule.trim() !== '' : choice.until >= choice.start.slice(0, 10);
}

/** The rule; null for a single date. */
export function ruleOf(choice: Choice): string | null {
  if (choice.frequency === 'rule') return choice.rule.trim() || null;
  const [first = '', ...further] = timesOf(choice);
  if (choice.frequency === 'once' && further.length === 0) return null;
  const lines = [`${frequencyOf(choice)};UNTIL=${compact(`${lastOf(choice)}T${first}`)}`];
  const more = daysOf(choice).flatMap((day) => further.map((time) => compact(`${day}T${time}`)));
  if (more.length > 0) lines.push(`RDATE:${more.join(',')}`);
  if (choice.without.length > 0) lines.push(`EXDATE:${choice.without.map(compact).join(',')}`);
  return lines.join('\n');
}

/** Every day on which it is played. */
export function daysOf(choice: Choice): string[] {
  const played = new Set(weekdaysOf(choice));
  const days: string[] = [];
  const last = lastOf(choice);
  let day = choice.start.slice(0, 10);
  for (let left = MOST_DAYS; left > 0 && day <= last; left -= 1) {
    if (choice.frequency !== 'weekly' || played.has(weekdayOf(day))) days.push(day);
    day = dayAfter(day, 1);
  }
  return days;
}

function frequencyOf(choice: Choice): string {
  if (choice.frequency !== 'weekly') return 'FREQ=DAILY';
  return `FREQ=WEEKLY;BYDAY=${weekdaysOf(choice).map((weekday) => CODES[weekday]).join(',')}`;
}

function lastOf(choice: Choice): string {
  const first = choice.start.slice(0, 10);
  return choice.frequency === 'once' || choice.until < first ? first : choice.until;
}

/** `2027-12-24T19:30` → `20271224T193000`. */
function compact(local: string): string {
  return `${local.replace(/[-:]/g, '')}00`;
}

/** Weekdays and times as a reader says them: `Friday and Saturday`, `2:00 PM and 7:30 PM`. */
export function spoken(choice: Choice, language: string): { days: string; times: string } {
  const list = new Intl.ListFormat(language, { type: 'conjunction' });
  const weekday = new Intl.DateTimeFormat(language, { weekday: 'long', timeZone: 'UTC' });
  const time = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit', timeZone: 'UTC' });
  const SUNDAY = Date.UTC(2023, 0, 1);
  return {
    days: list.format(weekdaysOf(choice).map((each) => weekday.format(SUNDAY + each * 86_400_000))),
    times: list.format(timesOf(choice).map((each) => time.format(new Date(`2023-01-01T${each}Z`)))),
  };
}
