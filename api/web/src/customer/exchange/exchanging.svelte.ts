/**
 * A paid booking and the house it is in, while its customer looks for other seats: nothing is asked of the server before they
 * say so. As many places as they have are wanted; a place that somebody else takes meanwhile leaves the wish, and is told.
 */

import { loadBooking } from '../../api/bookings.ts';
import { serverClock } from '../../api/clock.ts';
import type { Booking, Seat } from '../../api/shapes.ts';
import type { Changed } from '../../seats/house/states.ts';
import { type LayoutAnswer, type StatesAnswer, readLayout, readStates } from '../../seats/live/source.ts';
import { Wishing } from '../../seats/wishing.svelte.ts';
import { mayExchange } from '../booking/state.ts';
import { type Comparison, compared, pressed, taken, without } from './swap.ts';

/** The booking with its house; null for the house where there is nothing to exchange (any more). */
export async function openExchange(bookingId: string): Promise<{ booking: Booking; exchanging: Exchanging | null }> {
  const booking = await loadBooking(bookingId);
  if (!mayExchange(booking, serverClock.now())) return { booking, exchanging: null };
  const states = await readStates(booking.schedule_id);
  return { booking, exchanging: new Exchanging(booking, await readLayout(booking.schedule_id, states.layout), states) };
}

export class Exchanging extends Wishing {
  readonly booking: Booking;
  /** Places that were wanted until somebody else took them. */
  gone = $state.raw<readonly string[]>([]);
  /** While they are asked for, places that are no longer free may be so because they are theirs. */
  asking = $state(false);
  readonly #own: readonly string[];

  constructor(booking: Booking, layout: LayoutAnswer, states: StatesAnswer) {
    super(booking.schedule_id, layout, states);
    this.booking = booking;
    this.#own = booking.seats.map(({ id }) => id);
    this.quantity = 1;
    this.#set(this.#own);
  }

  /** What the wish comes to, by the prices of now. */
  get comparison(): Comparison {
    return compared(this.booking.seats, this.wish, (id) => this.priceOf(this.#categoryOf(id)) ?? 0);
  }

  get missing(): number {
    return this.#own.length - this.wish.length;
  }

  override canChoose(seat: number): boolean {
    return this.#own.includes(this.layout.ids[seat] ?? '') || super.canChoose(seat);
  }

  toggle(seat: number): void {
    if (this.canChoose(seat)) this.#choose(pressed(this.#own, this.wish, this.layout.ids[seat] ?? ''));
  }

  places(area: number, count: number): void {
    const id = this.layout.areas[area]?.id ?? '';
    const now = this.wish.filter((each) => each === id).length;
    this.#choose(count > now ? taken(this.#own, this.wish, id) : without(this.wish, [id]));
  }

  /** Takes back what was given up. */
  keep(id: string): void {
    this.#choose(taken(this.#own, this.wish, id));
  }

  /** Does not want it after all. */
  leave(id: string): void {
    this.#choose(without(this.wish, [id]));
  }

  /** These cannot be had. */
  lost(ids: readonly string[]): void {
    const gone = ids.filter((id) => this.wish.includes(id) && !this.#own.includes(id));
    if (gone.length === 0) return;
    this.gone = gone;
    this.#set(without(this.wish, gone));
  }

  /** A place as it is read in the whole house; one of a standing area by its name. */
  placeNamed(id: string): string {
    const seat = this.layout.seatOf.get(id);
    return seat === undefined ? (this.layout.areas[this.layout.areaOf.get(id) ?? -1]?.name ?? id) : this.placeInHouse(seat);
  }

  /** A new place as a booking would have it. */
  seatOf(id: string): Pick<Seat, 'id' | 'category' | 'price'> {
    const category = this.#categoryOf(id);
    return { id, category: this.layout.categories[category]?.name ?? '', price: this.priceOf(category) ?? 0 };
  }

  protected override changed(changed: Changed): void {
    super.changed(changed);
    if (!this.asking) this.lost(changed.seats.filter((seat) => !this.states.isFree(seat)).map((seat) => this.layout.ids[seat] ?? ''));
  }

  #categoryOf(id: string): number {
    const seat = this.layout.seatOf.get(id);
    return seat === undefined ? (this.layout.areas[this.layout.areaOf.get(id) ?? -1]?.category ?? 0) : (this.layout.categoryOf[seat] ?? 0);
  }

  #choose(wish: readonly string[]): void {
    this.gone = [];
    this.#set(wish);
  }

  #set(wish: readonly string[]): void {
    this.wish = wish;
    this.mine = wish.filter((id) => this.#own.includes(id));
    this.tell({ seats: [], areas: false });
  }
}
