/**
 * Which seats a hold is to take the place of, kept in this browser until they are given back or somebody logs out: in every tab, and
 * over the provider's own page, from which a customer comes back to the bare address of the booking. To the server they are two
 * bookings like any others.
 */

import { REPLACING } from '../../api/kept/names.ts';
import { onDevice } from '../../storage.ts';

export interface Replacing {
  /** The booking of the old seats, and their ids. */
  readonly booking: string;
  readonly seats: readonly string[];
}

const MOST = 20; // holds that came to nothing are left behind, and go when there are so many

function read(): Map<string, Replacing> {
  return new Map(JSON.parse(onDevice.getItem(REPLACING) ?? '[]') as [string, Replacing][]);
}

function write(notes: Map<string, Replacing>): void {
  onDevice.setItem(REPLACING, JSON.stringify([...notes].slice(-MOST)));
}

export function keepReplacing(bookingId: string, replacing: Replacing): void {
  write(read().set(bookingId, replacing));
}

export function replacingOf(bookingId: string): Replacing | null {
  return read().get(bookingId) ?? null;
}

/** The holds that are to take the place of a booking's seats: the way back to them, for whoever has gone back. */
export function replacementsOf(bookingId: string): readonly string[] {
  return [...read()].flatMap(([id, { booking }]) => (booking === bookingId ? [id] : []));
}

export function forgetReplacing(bookingId: string): void {
  const notes = read();
  if (notes.delete(bookingId)) write(notes);
}
