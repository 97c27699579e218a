/** The ticket of a booking, as a picture and as a date for a calendar. */

import { send } from './client.ts';
import { problemOf } from './problem.ts';

async function load(bookingId: string, kind: string, place?: number): Promise<Blob> {
  const which = place === undefined ? '' : `?place=${place}`;
  const response = await send(new Request(`/v1/bookings/${bookingId}/ticket${which}`, { headers: { Accept: kind } }));
  if (!response.ok) throw problemOf(response, await response.json().catch(() => null));
  return response.blob();
}

/** The code to show at the door, as an address for an `<img>`: for all, or for one place of them, counted from 1. */
export async function loadTicketPicture(bookingId: string, place?: number): Promise<string> {
  return URL.createObjectURL(await load(bookingId, 'image/svg+xml', place));
}

/** Hands the date to the reader's calendar. */
export async function saveCalendar(bookingId: string): Promise<void> {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await load(bookingId, 'text/calendar'));
  link.download = 'boxoffice.ics';
  link.click();
  URL.revokeObjectURL(link.href);
}
