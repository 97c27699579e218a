/** The holds of this tab that are to take the place of a booking's seats: the way back to them, for whoever has gone back. */

import { inTab } from '../../storage.ts';
import { KEPT, replacingOf } from '../exchange/replacing.ts';

export function replacementsOf(bookingId: string): readonly string[] {
  return Array.from({ length: inTab.length }, (_, at) => inTab.key(at) ?? '')
    .filter((key) => key.startsWith(KEPT))
    .map((key) => key.slice(KEPT.length))
    .filter((id) => replacingOf(id)?.booking === bookingId);
}
