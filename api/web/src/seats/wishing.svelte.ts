/**
 * A house in which a customer chooses: what can be had at which price, and what of it they want. What a wish comes to is said by
 * who carries it out: holding (`picking.svelte.ts`), or taking other seats for a paid booking (`customer/exchange/`).
 */

import { language } from '../words/language.svelte.ts';
import { dayAndTime } from '../words/moments.ts';
import type { Held } from './holds.ts';
import { LiveHouse } from './house.svelte.ts';
import type { Changed } from './house/states.ts';

/** By which the tabs of a browser tell each other what they hold of a date. */
export function tabsOf(scheduleId: string): BroadcastChannel | null {
  return typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(`boxoffice.hold.${scheduleId}`);
}

export abstract class Wishing extends LiveHouse {
  override readonly tellsBlocked = false;
  override readonly pointsAtDots = false;

  /** Ids of what is wanted; a standing area's once per place. */
  wish = $state.raw<readonly string[]>([]);
  /** What of it is theirs. */
  mine = $state.raw<readonly string[]>([]);
  /** Other bookings of this date that are theirs: their seats are shown as theirs, and cannot be chosen. */
  elsewhere = $state.raw<readonly Pick<Held, 'id' | 'status' | 'seats' | 'version'>[]>([]);
  readonly seatsElsewhere: readonly number[] = $derived.by(() => {
    void this.version;
    return this.#elsewhere().filter((seat) => !this.states.isFree(seat) && !this.wish.includes(this.layout.ids[seat] ?? ''));
  });
  /** How many places a row must have side by side to be listed. */
  quantity = $state(2);
  /** Seats to take instead of others, as numbers. */
  get offered(): readonly number[] {
    return [];
  }

  /** What they hold or have paid for here, at the price they have it for. */
  protected abstract get had(): readonly { readonly id: string; readonly price: number }[];

  /** Reads anew what else of this date is theirs. */
  abstract look(): Promise<void>;

  #elsewhere(): readonly number[] {
    return this.numbersOf(this.elsewhere.flatMap(({ seats }) => seats.map(({ id }) => id)));
  }

  protected override changed(changed: Changed): void {
    super.changed(changed);
    if (this.#elsewhere().some((seat) => this.states.isFree(seat) && changed.seats.includes(seat))) void this.look();
  }

  /** Wants the seat, or does not want it any more. */
  abstract toggle(seat: number): void;
  /** Wants so many places of a standing area. */
  abstract places(area: number, count: number): void;

  /** Why no seat can be had, though the sale may be open; null where one can. */
  get full(): string | null {
    void this.version;
    if (this.states.free((category) => this.isForSale(category)) > 0) return null;
    const { soldOut, notForSale } = language.words.performance;
    return this.layout.categories.some((_, category) => this.isForSale(category)) ? soldOut : notForSale;
  }

  override label(zone: number): readonly string[] {
    const left = this.states.free((category) => this.isShown(category) && this.isForSale(category), zone);
    const cheapest = this.cheapestIn(zone);
    const name = this.layout.zones[zone]?.name ?? '';
    return [name, this.words.left(left), ...(cheapest === null || left === 0 ? [] : [this.words.from(this.money(cheapest))])];
  }

  override areaLabel(area: number): readonly string[] {
    const of = this.layout.areas[area];
    return of === undefined ? [] : [of.name, this.words.left(this.states.freeInArea(area)), this.priceText(of.category)];
  }

  /** The lowest price of a free seat in a section, among the prices that are shown. */
  cheapestIn(zone: number): number | null {
    const prices = this.layout.categories.flatMap((_, category) => {
      const price = this.priceOf(category);
      const left = this.states.free((each) => each === category, zone);
      return price !== null && left > 0 && this.isShown(category) ? [price] : [];
    });
    return prices.length === 0 ? null : Math.min(...prices);
  }

  override canPoint(seat: number): boolean {
    return this.canChoose(seat) || this.seatsElsewhere.includes(seat);
  }

  override nameOf(seat: number): string {
    const category = this.layout.categoryOf[seat] ?? 0;
    const own = this.had.find(({ id }) => id === this.layout.ids[seat]);
    const has = this.seatsElsewhere.includes(seat) ? this.words.legend.states.mine : own ? this.money(own.price) : this.priceText(category);
    return this.words.seat(this.placeOf(seat), this.layout.categories[category]?.name ?? '', has);
  }

  /** Whether the seat can be had: free and for sale, or wanted already. */
  canChoose(seat: number): boolean {
    if (this.wish.includes(this.layout.ids[seat] ?? '')) return true;
    return this.states.isFree(seat) && this.priceOf(this.layout.categoryOf[seat] ?? 0) !== null;
  }

  opensLater(now: number): boolean {
    const { sale_opens_at: opens } = this.terms;
    return opens !== null && now < Date.parse(opens);
  }

  /** Why nothing can be had at `now`, by the clocks of `zone`; null while the sale is open. */
  closed(now: number, zone: string): string | null {
    const { cancelled, sale_opens_at: opens, sale_closes_at: closes } = this.terms;
    if (cancelled) return this.words.sale.cancelled;
    if (opens !== null && this.opensLater(now)) return this.words.sale.opensAt(dayAndTime(opens, language.chosen, zone));
    return closes !== null && now >= Date.parse(closes) ? this.words.sale.closed : null;
  }

  get seatsMine(): readonly number[] {
    return this.numbersOf(this.mine);
  }
}
