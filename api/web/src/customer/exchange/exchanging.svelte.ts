/**
 * A booking and the house in which its customer looks for other seats, of its own date or another one: nothing is asked of the server
 * before they say so. As many places as they have are wanted; a place that somebody else takes meanwhile leaves the wish, and is told.
 */

import { bookingsOf, loadBooking } from '../../api/bookings.ts';
import { loadSchedules } from '../../api/catalogue.ts';
import { serverClock } from '../../api/clock.ts';
import { asProblem } from '../../api/problem.ts';
import type { Booking, Seat } from '../../api/shapes.ts';
import type { Changed } from '../../seats/house/states.ts';
import { type LayoutAnswer, type StatesAnswer, readLayout, readStates } from '../../seats/live/source.ts';
import { Wishing, tabsOf } from '../../seats/wishing.svelte.ts';
import { isTheirs, isUnchanged, mayExchange } from '../booking/state.ts';
import { join, passOf } from '../queue/passes.ts';
import { type PossibleDate, possibleDates } from './dates.ts';
import { type Comparison, compared, pressed, taken, without } from './swap.ts';

/** The booking, and the dates to choose from, its own first; none where there is nothing to exchange (any more). */
export async function openExchange(bookingId: string): Promise<{ booking: Booking; dates: readonly PossibleDate[] }> {
  const booking = await loadBooking(bookingId);
  if (!mayExchange(booking, serverClock.now())) return { booking, dates: [] };
  // Who has paid for seats that were handed on has their money: they stay on their date.
  const run = booking.handed_on ? [] : await loadSchedules(booking.performance_id);
  return { booking, dates: possibleDates(booking, run, serverClock.now()) };
}

/** The house of one of these dates; null where others are first, and wait for it. */
export async function openDate(booking: Booking, date: PossibleDate): Promise<Exchanging | null> {
  const states = await readStates(date.id);
  const first = date.id !== booking.schedule_id && states.waiting_room && passOf(date.id) === null;
  if (first && (await join(date.id)).status !== 'admitted') return null;
  const exchanging = new Exchanging(booking, date, await readLayout(date.id, states.layout), states);
  void exchanging.look();
  return exchanging;
}

export class Exchanging extends Wishing {
  readonly booking: Booking;
  readonly date: PossibleDate;
  /** Whether it is another date: none of the house's seats are theirs, whatever they are called. */
  readonly isOther: boolean;
  readonly count: number;
  /** The booking is not what it was any more: something was done with it elsewhere. */
  stale = $state(false);
  #gone = $state.raw<readonly string[]>([]);
  /** From asking for them until it is known what came of it: places that are no longer free may be so because they are theirs. */
  #asking = false;
  readonly #own: readonly string[];

  constructor(booking: Booking, date: PossibleDate, layout: LayoutAnswer, states: StatesAnswer) {
    super(date.id, layout, states);
    this.booking = booking;
    this.date = date;
    this.isOther = date.id !== booking.schedule_id;
    this.count = booking.seats.length;
    this.#own = this.isOther ? [] : booking.seats.map(({ id }) => id);
    this.quantity = 1;
    this.#set(this.#own);
  }

  /** What the wish comes to, by the prices of now. */
  get comparison(): Comparison {
    const priceOf = (id: string) => this.priceOf(this.#categoryOf(id)) ?? 0;
    if (!this.isOther) return compared(this.booking.seats, this.wish, priceOf);
    const costs = this.wish.reduce((sum, id) => sum + priceOf(id), 0);
    return { added: this.wish, givenUp: this.booking.seats.map(({ id }) => id), costs, paid: this.booking.amount };
  }

  /** Places that were wanted until somebody else took them. */
  get gone(): readonly string[] {
    return this.#gone.filter((id) => !this.seatsElsewhere.includes(this.layout.seatOf.get(id) ?? -1));
  }

  /** Own ones that were given up, to be had again. */
  override get offered(): readonly number[] {
    return this.numbersOf(without(this.#own, this.wish));
  }

  get missing(): number {
    return this.count - this.wish.length;
  }

  protected override get had(): readonly Seat[] {
    return this.isOther ? [] : this.booking.seats;
  }

  /** Follows the house, and what is held of it in other tabs. Gives what ends it. */
  override start(): () => void {
    const end = super.start();
    const tabs = tabsOf(this.date.id);
    tabs?.addEventListener('message', () => void this.look());
    return () => {
      end();
      tabs?.close();
    };
  }

  async look(): Promise<void> {
    const all = await bookingsOf(this.date.id).catch(() => null);
    if (all === null || this.#asking) return;
    const now = all.find(({ id }) => id === this.booking.id);
    this.elsewhere = all.filter((each) => each !== now && isTheirs(each));
    this.stale ||= now !== undefined && !isUnchanged(this.booking, now);
  }

  override canChoose(seat: number): boolean {
    return this.#own.includes(this.layout.ids[seat] ?? '') || super.canChoose(seat);
  }

  toggle(seat: number): void {
    if (this.canChoose(seat)) this.#choose(pressed(this.#own, this.wish, this.layout.ids[seat] ?? '', this.count));
  }

  places(area: number, count: number): void {
    const id = this.layout.areas[area]?.id ?? '';
    const now = this.wish.filter((each) => each === id).length;
    this.#choose(count > now ? taken(this.#own, this.wish, id, this.count) : without(this.wish, [id]));
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
    this.#gone = gone;
    this.#set(without(this.wish, gone));
  }

  /** Asks for the wish; seats that have gone leave it. Throws the `Problem`. */
  async ask<T>(carryOut: () => Promise<T>): Promise<T> {
    this.#asking = true;
    try {
      return await carryOut();
    } catch (error) {
      const problem = asProblem(error);
      this.#asking = problem.isUncertain;
      const { seats } = problem.document;
      if (problem.code === 'seats_unavailable' && Array.isArray(seats)) this.lost(seats.filter((id) => typeof id === 'string'));
      void this.refresh();
      throw error;
    }
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
    if (this.#asking) return;
    const ids = (free: boolean) => changed.seats.filter((seat) => this.states.isFree(seat) === free).map((seat) => this.layout.ids[seat] ?? '');
    this.lost(ids(false));
    if (ids(true).some((id) => this.#own.includes(id))) void this.look();
  }

  #categoryOf(id: string): number {
    const seat = this.layout.seatOf.get(id);
    return seat === undefined ? (this.layout.areas[this.layout.areaOf.get(id) ?? -1]?.category ?? 0) : (this.layout.categoryOf[seat] ?? 0);
  }

  #choose(wish: readonly string[]): void {
    this.#gone = [];
    this.#set(wish);
  }

  #set(wish: readonly string[]): void {
    this.wish = wish;
    this.mine = wish.filter((id) => this.#own.includes(id));
    this.tell({ seats: [], areas: false });
  }
}
