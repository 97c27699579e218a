/**
 * Times as the clocks of a venue show them (`2027-12-24T19:30`), and the instants that they are.
 *
 * A time that clocks skip when summer begins is the one an hour later; of a time they show twice the first is meant.
 */

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** What clocks there show, to the minute. */
export function localOf(at: string | number, timeZone: string): string {
  let format = formats.get(timeZone);
  if (format === undefined) {
    const form = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
    format = new Intl.DateTimeFormat('sv', { ...form, timeZone });
    formats.set(timeZone, format);
  }
  return format.format(new Date(at)).replace(' ', 'T');
}

/** The instant when clocks there show this; null where the text is no time. */
export function instantOf(local: string, timeZone: string): string | null {
  const asUtc = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(local) ? Date.parse(`${local}Z`) : NaN;
  if (Number.isNaN(asUtc)) return null;
  const offsets = [aheadMs(asUtc - 24 * HOUR_MS, timeZone), aheadMs(asUtc + 24 * HOUR_MS, timeZone)];
  for (const ahead of offsets) {
    if (localOf(asUtc - ahead, timeZone) === local) return new Date(asUtc - ahead).toISOString();
  }
  return new Date(asUtc - (offsets[0] ?? 0)).toISOString(); // skipped: by the clocks of before
}

/** How far clocks there are ahead of UTC. */
function aheadMs(at: number, timeZone: string): number {
  const minute = Math.floor(at / MINUTE_MS) * MINUTE_MS;
  return Date.parse(`${localOf(minute, timeZone)}Z`) - minute;
}

/** Every time zone there is, with the usual one first. */
export function timeZones(usual: string): readonly string[] {
  return [usual, ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== usual)];
}

/** The day so many days later: `2027-12-31`, 1 → `2028-01-01`. */
export function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00Z`) + days * 24 * HOUR_MS).toISOString().slice(0, 10);
}
