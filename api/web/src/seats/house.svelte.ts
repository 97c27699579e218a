/**
 * A house that is looked at: what is where, how it stands, and what is said of it. Whoever draws one asks this.
 *
 * `House` takes its states from outside, at any version and in any order (`show`): a plan, or a moment of the past. `LiveHouse`
 * follows a schedule by its stream. Whoever chooses for themselves adds what they want and hold (`picking.svelte.ts`).
 */

import { language } from '../words/language.svelte.ts';
import { money } from '../words/money.ts';
import { en } from '../words/seats/en.ts';
import { ko } from '../words/seats/ko.ts';
import { distinct } from './house/colours.ts';
import { Grid } from './house/grid.ts';
import { decodeLayout, type Layout, type LayoutDocument, rowAt } from './house/layout.ts';
import { type Changed, type Moment, States } from './house/states.ts';
import { Live, type Status } from './live/live.ts';
import { Shared } from './live/shared.ts';
import { type LayoutAnswer, type StatesAnswer, sourceOf } from './live/source.ts';

const LIGHT = '#ffffff';
const SIGNS = ['free', 'held', 'sold', 'blocked'] as const;

export class House {
  readonly layout: Layout;
  readonly states: States;
  readonly grid: Grid;
  /** Rises with every change of the states, for whatever is derived from them. */
  version = $state(0);
  /** What the colours have to be seen on: the map says. */
  ground = $state(LIGHT);
  readonly colours: readonly string[] = $derived.by(() => distinct(this.layout.categories.map(({ color }) => color), this.ground));
  /** Whether what is blocked is told from what is sold: for who runs the house. */
  readonly tellsBlocked: boolean = true;
  /** Whether a seat can be pointed at while seats are dots. */
  readonly pointsAtDots: boolean = true;
  /** The categories that are shown; none: all. */
  only = $state.raw<ReadonlySet<number>>(new Set());

  readonly #listeners = new Set<(changed: Changed) => void>();

  constructor(layout: LayoutDocument) {
    this.layout = decodeLayout(layout);
    this.states = new States(this.layout);
    this.grid = new Grid(this.layout);
  }

  /** Shows the house as it was or is at a moment, whatever was shown before. */
  show(moment: Moment): void {
    this.changed(this.states.show(moment));
  }

  /** Calls `listener` with whatever changes in the house. Gives what ends it. */
  listen(listener: (changed: Changed) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  protected changed(changed: Changed): void {
    this.version += 1;
    this.tell(changed);
  }

  protected tell(changed: Changed): void {
    for (const listener of this.#listeners) listener(changed);
  }

  // --- what is drawn --------------------------------------------------------------------------------------------------
  /** What the look of the whole house depends on beside its states: read to know when to draw all of it anew. */
  get dressing(): unknown {
    return [this.words, this.only];
  }

  isShown(category: number): boolean {
    return this.only.size === 0 || this.only.has(category);
  }

  isForSale(category: number): boolean {
    return category < this.layout.categories.length;
  }

  /** What is written on a section. */
  label(zone: number): readonly string[] {
    return [this.layout.zones[zone]?.name ?? '', this.words.left(this.states.free(() => true, zone))];
  }

  areaLabel(area: number): readonly string[] {
    return [this.layout.areas[area]?.name ?? '', this.words.left(this.states.freeInArea(area))];
  }

  /** Whether pointing at a seat says what it is. */
  canPoint(seat: number): boolean {
    return seat < this.layout.size;
  }

  // --- what is said ---------------------------------------------------------------------------------------------------
  get words() {
    return language.of({ en, ko });
  }

  /** `Row 7 seat 12`, within its section. */
  placeOf(seat: number): string {
    return this.words.place(rowAt(this.layout, seat).label, this.layout.numbers[seat] ?? '');
  }

  placeInHouse(seat: number): string {
    const row = rowAt(this.layout, seat);
    return this.words.placeIn(this.layout.zones[row.zone]?.name ?? '', row.label, this.layout.numbers[seat] ?? '');
  }

  nameOf(seat: number): string {
    const category = this.layout.categoryOf[seat] ?? 0;
    const state = SIGNS[this.states.seats[seat] ?? 0] ?? 'free';
    const stands = state === 'free' && !this.isForSale(category) ? this.words.notForSale : this.words.states[state];
    return this.words.seat(this.placeInHouse(seat), this.layout.categories[category]?.name ?? '', stands);
  }

  /** The seats with these ids, as numbers; ids of anything else are left out. */
  numbersOf(ids: readonly string[]): readonly number[] {
    return ids.flatMap((id) => this.layout.seatOf.get(id) ?? []);
  }
}

export class LiveHouse extends House {
  terms = $state.raw<StatesAnswer>() as StatesAnswer;
  status = $state<Status>('away');
  /** Its plan was corrected: it is another house now, to be opened anew. */
  outdated = $state(false);
  readonly #live: Live;
  readonly #shared: Shared;

  constructor(scheduleId: string, layout: LayoutAnswer, states: StatesAnswer) {
    super(layout);
    this.states.replace(states);
    this.terms = states;
    const source = sourceOf(scheduleId, {
      terms: () => this.terms.terms,
      heard: (terms) => (this.terms = terms),
      fits: (digest) => !(this.outdated ||= digest !== states.layout),
    });
    this.#live = new Live(this.states, source, (changed) => this.changed(changed), (news) => this.#shared.pass(news));
    this.#shared = new Shared(scheduleId, states.layout, this.#live);
  }

  /** Follows the house. Gives what ends it. */
  start(): () => void {
    return this.#shared.start();
  }

  /** Reads all states anew: something showed that they are behind. */
  refresh(): Promise<void> {
    return this.#live.refresh();
  }

  get polling(): boolean {
    return this.status === 'polling';
  }

  protected override changed(changed: Changed): void {
    this.status = this.#live.status;
    super.changed(changed);
  }

  override get dressing(): unknown {
    return [super.dressing, this.terms];
  }

  priceOf(category: number): number | null {
    return this.terms.prices[this.layout.categories[category]?.name ?? ''] ?? null;
  }

  override isForSale(category: number): boolean {
    return this.priceOf(category) !== null;
  }

  /** An amount, as it is read. */
  money(amount: number): string {
    return money(amount, this.terms.currency, language.chosen);
  }

  priceText(category: number): string {
    const price = this.priceOf(category);
    return price === null ? this.words.notForSale : this.money(price);
  }
}
