/**
 * A schedule's journal as somebody looks at it: read page by page, the one that is looked at first, and played.
 *
 *     const reel = await openReel(scheduleId);
 *     reel.go(4211)             shows the house at that version, at once if it was read
 *     reel.version, reel.step   reactive
 */

import { answer, api } from '../../api/client.ts';
import { asProblem, type Problem } from '../../api/problem.ts';
import { House } from '../../seats/house.svelte.ts';
import { readLayout, readStates } from '../../seats/live/source.ts';
import { Tape, type Step, type TapePage } from './tape.ts';

const PAGE = 1_000; // versions: some 40 kB on the wire
const READ_BY_ITSELF = 20_000; // versions that are read without being asked for: a large house sold out
const NEWEST = Number.MAX_SAFE_INTEGER;

export async function openReel(scheduleId: string): Promise<Reel> {
  const states = await readStates(scheduleId);
  const [layout, page] = await Promise.all([readLayout(scheduleId, states.layout), readPage(scheduleId, NEWEST, 1)]);
  return new Reel(scheduleId, new House(layout), page);
}

function readPage(schedule_id: string, from_version: number, limit: number): Promise<TapePage> {
  const params = { path: { schedule_id }, query: { from_version, limit } };
  return answer(api.GET('/v1/organizer/schedules/{schedule_id}/history', { params }));
}

export class Reel {
  readonly house: House;
  readonly tape: Tape;
  /** The version that is shown. */
  version = $state(0);
  newest = $state(0);
  /** Changes that were read. */
  read = $state(0);
  /** Whether what is asked for is still being read. */
  waiting = $state(false);
  problem = $state.raw<Problem | undefined>();
  step = $state.raw<Step | undefined>();
  /** Changes a second while it plays; 0: it stands. */
  speed = $state(0);
  #wanted = 0;
  #owners: Uint32Array = new Uint32Array();
  readonly #scheduleId: string;
  readonly #reading = new Map<number, Promise<void>>();

  constructor(scheduleId: string, house: House, page: TapePage) {
    this.#scheduleId = scheduleId;
    this.house = house;
    this.tape = new Tape(house.layout.size);
    this.#take(page);
    this.go(page.newest);
    if (page.newest <= READ_BY_ITSELF) void this.readAll();
  }

  /** Shows the house at a version; where it was not read yet, as soon as it is. */
  go(version: number): void {
    this.#wanted = Math.min(this.newest, Math.max(0, Math.round(version)));
    if (this.tape.has(this.#wanted)) this.#show();
    else void this.#fetch();
  }

  /** Whose a seat is at the version that is shown: a booking's id. */
  ownerOf(seat: number): string | null {
    return this.tape.bookings[this.#owners[seat] ?? 0] || null;
  }

  seatsOf(bookingId: string): number[] {
    const number = this.tape.bookings.indexOf(bookingId);
    const seats: number[] = [];
    if (number > 0) this.#owners.forEach((owner, seat) => owner === number && seats.push(seat));
    return seats;
  }

  get whole(): boolean {
    return this.read >= this.newest;
  }

  /** Reads what is not here yet, the newest first. */
  async readAll(): Promise<void> {
    try {
      for (let first = firstOf(this.newest); first >= 1; first -= PAGE) await this.#page(first);
      this.problem = undefined;
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  /** Goes on by itself, so many changes a second, until it is stopped or at its end. */
  play(speed: number): void {
    const running = this.speed > 0;
    this.speed = speed;
    if (running || speed === 0) return;
    if (this.version >= this.newest) this.go(0);
    let last = performance.now();
    let due = 0;
    const frame = (now: number) => {
      if (this.speed === 0) return;
      if (!this.waiting) due += ((now - last) / 1_000) * this.speed;
      last = now;
      if (due >= 1) {
        this.go(this.version + Math.floor(due));
        due %= 1;
      }
      if (this.version >= this.newest) this.speed = 0;
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  stop(): void {
    this.speed = 0;
  }

  async #fetch(): Promise<void> {
    this.waiting = true;
    try {
      while (!this.tape.has(this.#wanted)) await this.#page(firstOf(Math.max(1, this.#wanted)));
      this.problem = undefined;
      this.#show();
    } catch (error) {
      this.problem = asProblem(error);
      this.stop();
    } finally {
      this.waiting = false;
    }
  }

  /** A page, read once however many want it; one that was refused may be asked for again. */
  #page(first: number): Promise<void> {
    let reading = this.#reading.get(first);
    if (reading === undefined) {
      reading = readPage(this.#scheduleId, first, PAGE).then((page) => this.#take(page));
      reading.catch(() => this.#reading.delete(first));
      this.#reading.set(first, reading);
    }
    return reading;
  }

  #take(page: TapePage): void {
    // What came after the first look is not shown: the slider would move under the hand.
    if (this.newest === 0) this.newest = page.newest;
    this.tape.add({ ...page, newest: this.newest, items: page.items.filter(({ version }) => version <= this.newest) });
    this.read = this.tape.count;
    this.step = this.tape.step(this.version);
  }

  #show(): void {
    const shot = this.tape.at(this.#wanted);
    this.house.show(shot);
    this.#owners = shot.owners;
    this.version = shot.version;
    this.step = this.tape.step(shot.version);
  }
}

const firstOf = (version: number) => Math.floor((Math.max(1, version) - 1) / PAGE) * PAGE + 1;
