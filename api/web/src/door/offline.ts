/**
 * What a phone can say of a code without a connection: whether its booking is on the list, and who came in on it here.
 *
 * The list is the server's; the code only says which booking it is of. So a made-up code is worth nothing unless it names a
 * booking that is there, and then it lets in nobody twice. What two phones let in while both are offline is found when
 * they send it.
 */

export interface ListedTicket {
  readonly booking_id: string;
  readonly places: number;
  readonly entered: number;
  readonly seats: readonly string[];
  readonly name: string | null;
}

export interface OfflineVerdict {
  readonly result: 'admitted' | 'already_in' | 'other_schedule' | 'not_genuine';
  readonly places: number;
  readonly entered: number;
  readonly of: number;
  readonly booking_id: string | null;
}

/** A code's first 33 bytes: its form, the booking's id, the schedule's id. */
const FORM_AT = 0;
const BOOKING_AT = 1;
const SCHEDULE_AT = 17;
const HEAD_BYTES = 33;

/** Which booking and schedule a code names, or null where it is none of ours. */
export function named(code: string): { bookingId: string; scheduleId: string } | null {
  let text: string;
  try {
    text = atob(code.trim().replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return null;
  }
  if (text.length < HEAD_BYTES || text.charCodeAt(FORM_AT) === 0) return null;
  return { bookingId: uuid(text, BOOKING_AT), scheduleId: uuid(text, SCHEDULE_AT) };
}

function uuid(bytes: string, from: number): string {
  const hex = Array.from(bytes.slice(from, from + 16), (byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The verdict by the list, where `inside` counts who came in on each booking here since the list was made. */
export function judged(
  code: string,
  wanted: number | null,
  scheduleId: string,
  list: ReadonlyMap<string, ListedTicket>,
  inside: ReadonlyMap<string, number>,
): OfflineVerdict {
  const ticket = named(code);
  const nobody = { places: 0, entered: 0, of: 0, booking_id: null };
  if (ticket === null) return { result: 'not_genuine', ...nobody };
  if (ticket.scheduleId !== scheduleId) return { result: 'other_schedule', ...nobody };
  const listed = list.get(ticket.bookingId);
  if (listed === undefined) return { result: 'not_genuine', ...nobody };
  const entered = listed.entered + (inside.get(ticket.bookingId) ?? 0);
  const left = listed.places - entered;
  const places = wanted ?? left;
  const of = { of: listed.places, booking_id: listed.booking_id };
  if (places <= 0 || places > left) return { result: 'already_in', places: 0, entered, ...of };
  return { result: 'admitted', places, entered: entered + places, ...of };
}

/** Those whose name or seat has every word of the query, in any case. */
export function search(list: Iterable<ListedTicket>, query: string): ListedTicket[] {
  const words = query.normalize('NFC').toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const told = (ticket: ListedTicket) => `${ticket.name ?? ''} ${ticket.seats.join(' ')}`.normalize('NFC').toLowerCase();
  return [...list].filter((ticket) => words.every((word) => told(ticket).includes(word)));
}
