/**
 * What a phone can say of a code without a connection: whether it is genuine, whether its booking is on the list, and who
 * came in on it here.
 *
 * A code says which booking it is of, or which one place of it, and is signed (`actors/mail/tickets.py` has the form). The
 * list is the server's. What two phones let in while both are offline is found when they send it.
 */

export interface ListedTicket {
  readonly booking_id: string;
  /** What people read out: `7K3M-Q2XD`. */
  readonly number: string;
  readonly places: number;
  readonly entered: number;
  /** Places that came in by a code of their own. */
  readonly single: readonly string[];
  readonly seats: readonly string[];
  /** What stands on them. */
  readonly labels: readonly { readonly zone: string; readonly row: string; readonly number: string }[];
  readonly name: string | null;
}

export interface OfflineVerdict extends Pick<ListedTicket, 'name' | 'labels'> {
  readonly result: 'admitted' | 'already_in' | 'replaced' | 'other_schedule' | 'not_genuine' | 'unknown';
  readonly places: number;
  readonly entered: number;
  readonly of: number;
  readonly booking_id: string | null;
}

const FORMER = 1; // signed with a key that only the server has
const SEAT = 3;
const BOOKING_AT = 1;
const SCHEDULE_AT = 17;
const NUMBER_AT = 33;
const HEAD_BYTES = 35;
const SIGNATURE_BYTES = 64;

export interface Named {
  readonly bookingId: string;
  readonly scheduleId: string;
  /** Which one place, where the code is for one. */
  readonly place: string | null;
  /** The seat or standing area that is in, and which of several alike. */
  readonly seat: string | null;
  /** That number, or of a code for the whole booking how many places that had when it was made. */
  readonly number: number;
}

function bytesOf(code: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(code.trim().replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

/** What a code names, or null where it is none of ours. */
export function named(code: string): Named | null {
  const bytes = bytesOf(code);
  const form = bytes?.[0] ?? 0;
  if (bytes === null || bytes.length < HEAD_BYTES || form < FORMER || form > SEAT) return null;
  const of = { bookingId: uuid(bytes, BOOKING_AT), scheduleId: uuid(bytes, SCHEDULE_AT) };
  const number = new DataView(bytes.buffer).getUint16(NUMBER_AT);
  if (form !== SEAT) return { ...of, place: null, seat: null, number };
  const seat = new TextDecoder().decode(bytes.slice(HEAD_BYTES, -SIGNATURE_BYTES));
  return { ...of, place: `${seat}#${number}`, seat, number };
}

function uuid(bytes: Uint8Array, from: number): string {
  const hex = Array.from(bytes.slice(from, from + 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Whether the code was signed with the key; null where that cannot be told: an old code, or an old browser. */
export async function genuine(code: string, key: JsonWebKey | null): Promise<boolean | null> {
  const bytes = bytesOf(code);
  if (bytes === null) return false;
  if (key === null || bytes[0] === FORMER || globalThis.crypto?.subtle === undefined) return null;
  try {
    const imported = await crypto.subtle.importKey('jwk', key, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', imported, bytes.slice(-SIGNATURE_BYTES), bytes.slice(0, -SIGNATURE_BYTES));
  } catch {
    return null; // a browser without Ed25519
  }
}

/** What the server said of a booking since the list was made: how many are in, and which place just came in by its own code. */
export interface News {
  /** Of the scan it was said of. */
  readonly id: string;
  readonly bookingId: string;
  readonly entered: number;
  readonly place: string | null;
}

/** The list as it is after the news. */
export function after(list: ReadonlyMap<string, ListedTicket>, news: readonly News[]): ReadonlyMap<string, ListedTicket> {
  const now = new Map(list);
  for (const { bookingId, entered, place } of news) {
    const listed = now.get(bookingId);
    if (listed === undefined) continue;
    const single = place === null || listed.single.includes(place) ? listed.single : [...listed.single, place];
    now.set(bookingId, { ...listed, entered: Math.max(listed.entered, entered), single });
  }
  return now;
}

/** Who came in here since the list was made: on a booking, and by the own code of which place. */
export interface Admitted {
  readonly bookingId: string;
  readonly places: number;
  readonly place: string | null;
}

/** Whether the booking has other seats now: what was given back, exchanged or handed on may be somebody else's. */
function isOfBefore({ seat, number }: Named, listed: ListedTicket): boolean {
  return seat === null ? number !== listed.places : listed.seats.filter((each) => each === seat).length < number;
}

/** Who was found on the list, as the code for all of the booking names it. */
export function found(listed: ListedTicket | undefined, scheduleId: string): Named | null {
  return listed === undefined ? null : { bookingId: listed.booking_id, scheduleId, place: null, seat: null, number: listed.places };
}

/** The verdict on what a code names, by the list, null where there is none, and what happened here since. */
export function judged(
  ticket: Named | null,
  wanted: number | null,
  scheduleId: string,
  list: ReadonlyMap<string, ListedTicket> | null,
  inside: readonly Admitted[],
): OfflineVerdict {
  const nobody = { places: 0, entered: 0, of: 0, booking_id: null, name: null, labels: [] };
  if (ticket === null) return { result: 'not_genuine', ...nobody };
  if (ticket.scheduleId !== scheduleId) return { result: 'other_schedule', ...nobody };
  if (list === null) return { result: 'unknown', ...nobody };
  const listed = list.get(ticket.bookingId);
  if (listed === undefined) return { result: 'not_genuine', ...nobody };
  const here = inside.filter(({ bookingId }) => bookingId === ticket.bookingId);
  const entered = here.reduce((sum, { places }) => sum + places, listed.entered);
  const { name, labels } = listed;
  const of = { of: listed.places, booking_id: listed.booking_id, name, labels };
  if (isOfBefore(ticket, listed)) return { result: 'replaced', places: 0, entered, ...of };
  const left = listed.places - entered;
  const again = ticket.place !== null && (listed.single.includes(ticket.place) || here.some(({ place }) => place === ticket.place));
  const places = again ? 0 : ticket.place !== null ? 1 : (wanted ?? left);
  if (places <= 0 || places > left) return { result: 'already_in', places: 0, entered, ...of };
  return { result: 'admitted', places, entered: entered + places, ...of };
}

/** Those whose name, booking number or seats have every word of the query, in any case. */
export function search(list: Iterable<ListedTicket>, query: string): ListedTicket[] {
  const words = query.normalize('NFC').toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const told = ({ name, number, seats, labels }: ListedTicket) => {
    const places = labels.map((label) => `${label.zone} ${label.row} ${label.number}`);
    return [name ?? '', number, ...seats, ...places].join(' ').normalize('NFC').toLowerCase();
  };
  return [...list].filter((ticket) => words.every((word) => told(ticket).includes(word)));
}
