/**
 * A sale as its organizer watches it: the house by its stream; money, curve and door asked for as long as somebody looks.
 *
 * Figures of places are counted off the house, at its version; those over time come from what the events have been counted to, at
 * another. Both versions are shown beside the newest that is known. Money is asked for together with the curve: when all versions
 * are equal, all figures belong together.
 */

import { type Problem, asProblem } from '../../api/problem.ts';
import type { Schedule } from '../../api/shapes.ts';
import { type SaleState, saleOf } from '../../customer/finding/sale.ts';
import { ticking } from '../../frame/ticking.svelte.ts';
import { LiveHouse } from '../../seats/house.svelte.ts';
import { readLayout, readStates } from '../../seats/live/source.ts';
import { language } from '../../words/language.svelte.ts';
import { dayAndTime } from '../../words/moments.ts';
import { money } from '../../words/money.ts';
import { en } from '../../words/live/en.ts';
import { ko } from '../../words/live/ko.ts';
import { type Row, type Unit, SECONDS, merged, pointsOf } from './sale/curve.ts';
import { inAll, tallied } from './sale/tally.ts';
import { type Door, type Sales, type Settlement, readDoor, readSales, readSchedule, readSettlement } from './server.ts';

const TURN_MS = 1_500;
const AT_REST_MS = 15_000; // between looks at a sale in which nothing happens
const IN_LINE_MS = 3_000; // while somebody waits: a line moves where nothing is sold
const SCHEDULE_MS = 30_000; // its terms change seldom, and elsewhere
const OVER: readonly SaleState[] = ['closed', 'ended', 'cancelled'];
/** How many minutes, hours or days are shown; days all of them. */
const SPAN: Readonly<Record<Unit, number | null>> = { minute: 360, hour: 336, day: null };
const FRESH_MS = 6 * 3_600_000;

export async function openSale(id: string): Promise<LiveSale> {
  const [schedule, states, door] = await Promise.all([readSchedule(id), readStates(id), readDoor(id)]);
  const sale = new LiveSale(schedule, new LiveHouse(id, await readLayout(id, states.layout), states), door);
  await sale.readFigures();
  if (sale.problem !== null) throw sale.problem;
  return sale;
}

export class LiveSale {
  readonly id: string;
  readonly house: LiveHouse;
  schedule = $state.raw<Schedule>() as Schedule;
  door = $state.raw<Door>() as Door;
  sales = $state.raw<Sales>() as Sales;
  settlement = $state.raw<Settlement>() as Settlement;
  rows = $state.raw<readonly Row[]>([]);
  unit = $state<Unit>('minute');
  /** Why the last look at the figures failed. */
  problem = $state.raw<Problem | null>(null);
  readAt = $state(0);

  readonly tallies = $derived.by(() => (void this.house.version, tallied(this.house.layout, this.house.states, (category) => this.house.isForSale(category))));
  readonly tally = $derived(inAll(this.tallies, ''));
  readonly points = $derived(pointsOf(this.rows, this.sales.total.sold - this.sales.total.refunded));
  /** The version of the house that is shown. */
  readonly seenVersion = $derived.by(() => (void this.house.version, this.house.states.version));
  readonly newest = $derived(Math.max(this.seenVersion, this.sales.version));
  readonly isCurrent = $derived(this.seenVersion === this.newest && this.sales.up_to_version === this.newest);

  #from: string | null = null;
  #rowsBy: Unit | null = null;
  #scheduleAt = Date.now();

  constructor(schedule: Schedule, house: LiveHouse, door: Door) {
    this.id = schedule.id;
    this.schedule = schedule;
    this.house = house;
    this.door = door;
    const began = Date.parse(schedule.sale_opens_at ?? schedule.created_at);
    if (Date.now() - began > FRESH_MS) this.unit = 'hour';
    this.#from = this.#beginning();
  }

  get words() {
    return language.of({ en, ko });
  }

  /** Where the sale stands, by the server's clock. */
  get state(): SaleState {
    const { free, capacity, blocked } = inAll(this.tallies.filter((_, category) => this.house.isForSale(category)), '');
    return saleOf({ sale: this.schedule.sale, seats_left: { all: free }, capacity: { all: capacity - blocked } }, ticking.now);
  }

  /** Whether people may wait for their turn: there is a waiting room, and something to wait for. */
  get hasLine(): boolean {
    return this.schedule.waiting_room && !OVER.includes(this.state);
  }

  get heading(): string {
    const { performance_title, performance_title_en } = this.schedule;
    return this.words.title(language.either(performance_title, performance_title_en), this.moment(this.schedule.starts_at));
  }

  show(amount: number): string {
    return money(amount, this.schedule.currency, language.chosen);
  }

  /** A time, by the clocks of the venue. */
  moment(at: string | number): string {
    return dayAndTime(at, language.chosen, this.schedule.time_zone);
  }

  /** Follows the sale. Gives what ends it. */
  start(): () => void {
    const end = this.house.start();
    let timer: ReturnType<typeof setTimeout>;
    let running = true;
    const turn = async () => {
      if (!document.hidden && this.#isDue()) await this.readFigures();
      if (!document.hidden && Date.now() - this.#scheduleAt > SCHEDULE_MS) await this.readSchedule();
      if (running) timer = setTimeout(turn, TURN_MS);
    };
    timer = setTimeout(turn, TURN_MS);
    return () => {
      running = false;
      clearTimeout(timer);
      end();
    };
  }

  /** Shows the curve by another unit. */
  async by(unit: Unit): Promise<void> {
    this.unit = unit;
    this.#from = this.#beginning();
    await this.readFigures();
  }

  /** Reads the schedule anew: something about it has been changed. A waiting room is shown with its line. */
  async readSchedule(): Promise<void> {
    this.#scheduleAt = Date.now();
    try {
      const schedule = await readSchedule(this.id);
      if (schedule.waiting_room && !this.schedule.waiting_room) await this.readFigures();
      this.schedule = schedule;
    } catch {
      // The next turn brings it; what is shown stays.
    }
  }

  /** Reads money, curve and door. Never throws: what went wrong is in `problem`. */
  async readFigures(): Promise<void> {
    const { unit } = this;
    const from = this.#from;
    try {
      // The curve first: money that is read after it is not older than it.
      const sales = await readSales(this.id, unit, from);
      const [settlement, door] = await Promise.all([readSettlement(this.id), readDoor(this.id)]);
      if (unit !== this.unit) return;
      this.rows = merged(this.#rowsBy === unit ? this.rows : [], sales.rows, from);
      this.#rowsBy = unit;
      this.sales = sales;
      this.settlement = settlement;
      this.door = door;
      this.problem = null;
      this.readAt = Date.now();
      this.#readOn(sales);
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  #isDue(): boolean {
    const moved = this.seenVersion > this.sales.version || this.sales.up_to_version < this.sales.version;
    const inLine = this.hasLine && (this.sales.queue?.waiting ?? 0) > 0;
    return this.problem !== null || moved || Date.now() - this.readAt > (inLine ? IN_LINE_MS : AT_REST_MS);
  }

  /** Where the curve begins, on a boundary that every time zone's hours share as far as it matters: a whole hour. */
  #beginning(): string | null {
    const span = SPAN[this.unit];
    if (span === null) return null;
    const hour = 3_600_000;
    return new Date(Math.floor((Date.now() - span * SECONDS[this.unit] * 1000) / hour) * hour).toISOString();
  }

  /** What is final is not asked for again: whatever was counted before the last row, once nothing was on its way. */
  #readOn({ version, up_to_version, rows }: Sales): void {
    const last = rows.at(-1)?.at;
    if (version === up_to_version && last !== undefined) this.#from = last;
  }
}
