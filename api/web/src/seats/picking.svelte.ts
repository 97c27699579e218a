/**
 * All that one customer's choosing of seats on one schedule consists of, as the components show it.
 *
 * Ties the pure parts together: the house and its states (`house/`, `live/`) and what is wanted and held (`holds.ts`). Nothing is
 * drawn or asked here. `version` rises with every change of the states, for whatever is derived from them.
 */

import { serverClock } from '../api/clock.ts';
import { newKey } from '../api/keys.ts';
import { type Problem, asProblem } from '../api/problem.ts';
import { takeWish } from '../customer/queue/kept.ts';
import { join, passOf } from '../customer/queue/passes.ts';
import { notices } from '../frame/notices.svelte.ts';
import { Wishing, tabsOf } from './wishing.svelte.ts';
import { nearest, withoutLoneSeat } from './house/nearest.ts';
import { type Changed, FREE } from './house/states.ts';
import { type Best, type Held, type HeldSeat, Holds, type News } from './holds.ts';
import { type LayoutAnswer, type StatesAnswer, readLayout, readStates } from './live/source.ts';
import { heldBookings, readBooking, serverOf } from './server.ts';

/** Seats that went to somebody else, and those to take instead. */
export interface Gone {
  readonly seats: readonly number[];
  readonly offer: readonly number[];
}

const LATE_MS = 3_000; // between seeing a seat and pressing on it

export async function openPicking(scheduleId: string): Promise<Picking> {
  const states = await readStates(scheduleId);
  return new Picking(scheduleId, await readLayout(scheduleId, states.layout), states);
}

export class Picking extends Wishing {
  readonly scheduleId: string;
  readonly holds: Holds;

  /** The hold as the server has confirmed it. */
  booking = $state.raw<Held | null>(null);
  busy = $state(false);
  retryInSeconds = $state<number | null>(null);
  declined = $state(false);
  lapsed = $state.raw<readonly string[]>([]);
  problem = $state.raw<Problem | null>(null);
  gone = $state.raw<Gone | null>(null);
  /** Others are first: seats can be had after the waiting room. */
  mustWait = $state(false);

  /** Null once the page is left: an answer may still come. */
  #tabs: BroadcastChannel | null;
  /** When a seat stopped being free, by our clock. */
  readonly #taken = new Map<number, number>();
  #verifying = false;
  #left = false;

  constructor(scheduleId: string, layout: LayoutAnswer, states: StatesAnswer) {
    super(scheduleId, layout, states);
    this.scheduleId = scheduleId;
    this.holds = new Holds(serverOf(scheduleId), (news) => this.#heard(news), newKey);
    this.#tabs = tabsOf(scheduleId);
    this.#tabs?.addEventListener('message', (event: MessageEvent<Held>) => this.holds.adopt(event.data));
  }

  /** Follows the house. Gives what ends it. */
  override start(): () => void {
    const end = super.start();
    return () => {
      end();
      this.#left = true;
      this.#tabs?.close();
      this.#tabs = null;
    };
  }

  /** Takes up what the customer holds already, or wished before they had to wait for their turn. */
  async resume(): Promise<void> {
    const held = await heldBookings(this.scheduleId).catch(() => []);
    if (held[0] !== undefined) this.holds.adopt(held[0]);
    this.elsewhere = held.slice(1);
    if (this.terms.waiting_room && held.length === 0 && !(await this.#enter())) return;
    const wish = takeWish(this.scheduleId);
    if (wish === null || held.length > 0 || this.#left) return;
    if ('seats' in wish) return this.holds.set(wish.seats);
    this.quantity = wish.quantity;
    await this.best(wish);
  }

  async look(): Promise<void> {
    const held = await heldBookings(this.scheduleId).catch(() => null);
    if (held !== null) this.elsewhere = held.filter(({ id }) => id !== this.booking?.id);
  }

  /** Takes a place in line, of which nobody notices anything while there is no line. Gives whether they are in. */
  async #enter(): Promise<boolean> {
    if (passOf(this.scheduleId) !== null) return true;
    const place = await join(this.scheduleId).catch(() => null); // what is in the way, a hold is told
    this.mustWait = place?.status === 'waiting' && !this.opensLater(serverClock.now());
    return place?.status === 'admitted';
  }

  /** Lets go of what is shown of a customer who has logged out. */
  forget(): void {
    this.elsewhere = [];
    this.holds.forget();
  }

  // --- what is shown --------------------------------------------------------------------------------------------------
  /** Of a date that is cancelled nothing is for sale. */
  override priceOf(category: number): number | null {
    return this.terms.cancelled ? null : super.priceOf(category);
  }

  override get offered(): readonly number[] {
    return this.gone?.offer ?? [];
  }

  protected override get had(): readonly HeldSeat[] {
    return this.booking?.seats ?? [];
  }

  /** Where to move to, so that nobody is left a lone seat. */
  get withoutLone(): readonly number[] | null {
    void this.version;
    return this.busy || this.mine.length !== this.wish.length ? null : withoutLoneSeat(this.layout, this.states, this.seatsMine);
  }

  // --- choosing -------------------------------------------------------------------------------------------------------
  toggle(seat: number): void {
    const id = this.layout.ids[seat] ?? '';
    this.#clear();
    if (this.wish.includes(id)) void this.holds.toggle(id);
    else if (!this.canChoose(seat)) this.#late(seat);
    else if (this.#hasRoom(1)) void this.holds.toggle(id);
  }

  /** A seat that went while the finger was on its way is told as one that the server refuses. */
  #late(seat: number): void {
    if ((this.#taken.get(seat) ?? -Infinity) > Date.now() - LATE_MS) this.#lost([seat], 1);
  }

  places(area: number, count: number): void {
    const id = this.layout.areas[area]?.id ?? '';
    const before = this.wish.filter((each) => each === id).length;
    this.#clear();
    if (count < before || this.#hasRoom(count - before)) void this.holds.places(id, Math.max(0, count));
  }

  /** Wants these instead of `instead`. */
  exchange(instead: readonly number[], seats: readonly number[]): void {
    const out = new Set(instead.map((seat) => this.layout.ids[seat]));
    const kept = this.wish.filter((id) => !out.has(id));
    this.#clear();
    void this.holds.set([...kept, ...seats.flatMap((seat) => this.layout.ids[seat] ?? [])]);
  }

  best(best: Best): Promise<void> {
    this.#clear();
    return this.holds.best(best);
  }

  again(): void {
    this.#clear();
    void this.holds.set(this.lapsed);
  }

  dismiss(): void {
    this.#clear();
  }

  #clear(): void {
    this.gone = null;
    this.problem = null;
  }

  #hasRoom(count: number): boolean {
    const most = this.terms.max_seats_per_customer;
    if (most === null || this.wish.length + count <= most) return true;
    notices.say(this.words.basket.limit(most));
    return false;
  }

  // --- what has happened ----------------------------------------------------------------------------------------------
  protected override changed(changed: Changed): void {
    const { gone } = this;
    if (gone?.offer.some((seat) => !this.states.isFree(seat))) this.gone = { ...gone, offer: this.#insteadOf(gone.seats) };
    super.changed(changed);
    const taken = changed.seats.filter((seat) => !this.states.isFree(seat));
    for (const seat of taken) this.#taken.set(seat, Date.now());
    this.holds.lost(taken.map((seat) => this.layout.ids[seat] ?? ''));
    if (changed.seats.some((seat) => this.states.isFree(seat))) void this.#verify(changed.seats);
  }

  /** A seat of ours that is free in newer states: the hold has changed elsewhere. */
  async #verify(seats: readonly number[]): Promise<void> {
    const { booking } = this;
    if (booking === null || this.busy || this.#verifying || this.states.version < booking.version) return;
    if (!seats.some((seat) => this.states.seats[seat] === FREE && this.mine.includes(this.layout.ids[seat] ?? ''))) return;
    this.#verifying = true;
    const now = await readBooking(booking.id).catch(() => null);
    this.#verifying = false;
    if (now === null || this.booking !== booking) return;
    if (now.status === 'held') this.holds.adopt(now);
    else this.holds.over();
  }

  #heard(news: News | null): void {
    const { holds } = this;
    const before = this.booking;
    this.booking = holds.booking;
    this.wish = holds.wish;
    this.mine = holds.mine;
    this.busy = holds.busy;
    this.retryInSeconds = holds.retryInSeconds;
    this.declined = holds.declined;
    this.lapsed = holds.lapsed;
    this.tell({ seats: [], areas: false });
    if (news === null) return;
    if (this.booking !== null) this.#tabs?.postMessage(this.booking);
    else if (before !== null) this.#tabs?.postMessage({ ...before, status: 'released', version: Infinity });
    this.#told(news);
  }

  #told(news: News): void {
    const words = this.words.basket;
    if (news.kind === 'held') notices.announce(words.held(news.seats.length));
    else if (news.kind === 'released') notices.say(words.released);
    else if (news.kind === 'extended') notices.say(words.extended);
    else if (news.kind === 'expired') notices.announce(this.terms.cancelled ? this.words.sale.cancelled : words.expired);
    else if (news.kind === 'refused' && news.problem.waitingRoom !== null) this.mustWait = true;
    else if (news.kind === 'refused') this.problem = asProblem(news.problem);
    else this.#lost(this.numbersOf(news.seats), news.seats.length);
  }

  #lost(seats: readonly number[], count: number): void {
    this.gone = { seats, offer: this.#insteadOf(seats) };
    const first = seats[0];
    const words = this.words.gone;
    notices.announce(count === 1 && first !== undefined ? words.one(this.placeInHouse(first)) : words.several(count));
    void this.refresh(); // what was refused shows that the map is behind
  }

  #insteadOf(seats: readonly number[]): readonly number[] {
    return nearest(this.layout, this.states, seats, this.numbersOf(this.wish), (category) => this.priceOf(category)) ?? [];
  }
}
