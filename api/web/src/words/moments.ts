/**
 * Times as people read them. What happens at a venue is told by its clocks: that is where one has to be on time. What happens
 * nowhere (a payment, a session, an entry in a log) is told by the reader's own.
 */

export const SEOUL = 'Asia/Seoul'; // where most venues are: what a form begins with
/** The reader's own clocks. */
export const HERE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

type Form = Intl.DateTimeFormatOptions;
const DAY: Form = { year: 'numeric', month: 'short', day: 'numeric', weekday: 'short' };
const SHORT_DAY: Form = { month: 'short', day: 'numeric', weekday: 'short' };
const TIME: Form = { hour: 'numeric', minute: '2-digit' };

const formats = new Map<string, Intl.DateTimeFormat>();

function formatted(language: string, timeZone: string, form: Form, at: string | number): string {
  const key = `${language} ${timeZone} ${JSON.stringify(form)}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(language, { ...form, timeZone });
    formats.set(key, format);
  }
  return format.format(new Date(at));
}

export function day(at: string | number, language: string, timeZone: string): string {
  return formatted(language, timeZone, DAY, at);
}

export function shortDay(at: string | number, language: string, timeZone: string): string {
  return formatted(language, timeZone, SHORT_DAY, at);
}

export function time(at: string | number, language: string, timeZone: string): string {
  return formatted(language, timeZone, TIME, at);
}

export function dayAndTime(at: string | number, language: string, timeZone: string): string {
  return formatted(language, timeZone, { ...DAY, ...TIME }, at);
}

/** Until when: of a day that is to end, the day; people would read its last moment as the beginning of the next one. */
export function until(at: string | number, language: string, timeZone: string): string {
  const isMidnight = formatted('sv', timeZone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, at) === '00:00';
  return isMidnight ? day(new Date(at).getTime() - 1, language, timeZone) : dayAndTime(at, language, timeZone);
}

export function month(at: string | number, language: string, timeZone: string): string {
  return formatted(language, timeZone, { year: 'numeric', month: 'long' }, at);
}

/** The calendar day there, as `2026-12-24`. */
export function dateOf(at: string | number, timeZone: string): string {
  return formatted('sv', timeZone, { year: 'numeric', month: '2-digit', day: '2-digit' }, at);
}

/** `9:59`, `1:02:03`; from a day on the days stand in front by the caller's words. Never negative. */
export function clockFace(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
