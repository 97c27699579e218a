/** A change's time as whoever looks for a cause needs it: to the millisecond, by the clock of this device. */

const formats = new Map<string, Intl.DateTimeFormat>();

export function precisely(at: string, language: string): string {
  let format = formats.get(language);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' });
    formats.set(language, format);
  }
  return format.format(new Date(at));
}

/** The same for a field that takes a time: `2026-11-22T14:03:11`. */
export function fieldOf(at: string): string {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
