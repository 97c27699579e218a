/**
 * The scans of one door: each is told at once, sent as soon as it can be, and never lost.
 *
 *     const door = new Door(scheduleId, server, kept)
 *     await door.read(code, null)     shows a verdict, the server's or, without a connection, this phone's own
 *     door.shown, door.history        reactive
 *
 * A scan has an id of its own and stays with this browser until the server has answered it, so a closed tab or a dead
 * battery sends it later, once. Whoever this phone turns away is not let in later by a scan that is still on its way: that is
 * shown while they stand there, and taken back when they have gone. What the server says otherwise than this phone did, of
 * somebody it let in, is kept in `conflicts`. What a page goes
 * by that comes back without a connection is what was kept here last (`kept.ts`), and what the server has said since.
 */

import { Problem, asProblem } from '../api/problem.ts';
import { newKey } from '../api/keys.ts';
import { serverClock } from '../api/clock.ts';
import type { Schedule } from '../api/shapes.ts';
import type { KeptDoor } from './kept.ts';
import { after, genuine, judged, named, type Inside, type ListedTicket, type News } from './offline.ts';
import type { Counts, DoorServer, Verdict } from './server.ts';
import { StoredDoor } from './stored.ts';
import { onDevice } from '../storage.ts';
import { language } from '../words/language.svelte.ts';
import { en } from '../words/door/en.ts';
import { ko } from '../words/door/ko.ts';

export interface Scan {
  readonly id: string;
  readonly code?: string;
  readonly bookingId?: string;
  readonly places: number | null;
  readonly gate: string | null;
  readonly at: string;
  /** By how much the server's clock was known to be ahead of this phone's then, in milliseconds. */
  readonly ahead?: number;
  /** That nobody was let in on it here, or was taken back: what the server makes of it, if it has it, is to be undone. */
  readonly turnedAway?: boolean;
  /** Whether this phone has let somebody in on it by itself. */
  readonly admitted?: { readonly bookingId: string; readonly places: number; readonly place: string | null };
}

export interface Shown {
  readonly scan: Scan;
  readonly result: Verdict['result'];
  readonly verdict: Verdict | null;
  readonly places: number;
  readonly entered: number;
  readonly of: number;
  readonly offline: boolean;
  /** Whose it is by this phone's list, where the server has not been asked. */
  readonly listed?: ListedTicket | undefined;
  readonly undone?: boolean;
}

export function whoOf({ verdict, listed }: Shown): Pick<ListedTicket, 'name' | 'labels'> {
  return verdict ?? listed ?? { name: null, labels: [] };
}

const SHOWN_BEFORE = 20;
const BATCH = 200;
const SEND_AGAIN_MS = 4_000;
const PATIENCE_MS = 3_000;
const REFRESH_MS = 20_000;
const NOT_TAKEN = new Set([413, 422]); // too much at once, or nothing that could be a scan
const CLOSED = new Set([401, 403, 404]);

export class Door {
  shown = $state.raw<Shown | null>(null);
  history = $state.raw<readonly Shown[]>([]);
  waiting = $state.raw<readonly Scan[]>([]);
  conflicts = $state.raw<readonly Verdict[]>([]);
  schedule = $state.raw<Schedule | undefined>();
  counts = $state.raw<Counts | null>(null);
  list = $state.raw<ReadonlyMap<string, ListedTicket>>(new Map());
  listedAt = $state<number | null>(null);
  online = $state(true);
  refused = $state.raw<Problem | null>(null);
  /** Whether the page comes back without a connection; null until it is known. */
  comesBack = $state<boolean | null>(null);
  /** Whether scans wait that this browser has no room for. */
  crowded = $state(false);

  #gate = $state('');
  readonly #scheduleId: string;
  readonly #server: DoorServer;
  readonly #kept: KeptDoor;
  readonly #stored: StoredDoor;
  #sending: Promise<void> | null = null;
  #answers = new Map<string, Verdict>();
  /** Scans that the server may have, and those that it is just being asked about. */
  readonly #tried = new Set<string>();
  #asking = new Set<string>();
  /** Those of them on whose answer nobody at the door has waited. */
  readonly #late = new Set<string>();
  /** What the server has said since the list was asked for: a phone that goes offline now must not forget it. */
  #news: News[] = [];
  /** And since the list was kept that a page goes by that comes back. */
  #untold: News[] = [];
  #key: JsonWebKey | null = null;
  /** Whether schedule and key are as the server says them, and not only as they were kept. */
  #asked = false;
  /** Whether a list is kept, to which belongs what the server has said since. */
  #listKept = false;

  constructor(scheduleId: string, server: DoorServer, kept: KeptDoor) {
    this.#scheduleId = scheduleId;
    this.#server = server;
    this.#kept = kept;
    this.#stored = new StoredDoor(scheduleId, onDevice);
    this.waiting = this.#stored.waiting();
    this.#gate = this.#stored.gate;
  }

  get gate(): string {
    return this.#gate;
  }

  set gate(name: string) {
    this.#gate = this.#stored.gate = name;
  }

  /** Keeps list and counts fresh and sends what waits, until the function it gives is called. */
  start(): () => void {
    void this.#comeBack().then(() => this.refresh());
    const sending = setInterval(() => void this.#send(), SEND_AGAIN_MS);
    const refreshing = setInterval(() => void this.refresh(), REFRESH_MS);
    return () => {
      clearInterval(sending);
      clearInterval(refreshing);
    };
  }

  /** Reads a code, or lets in who was found on the list; `places`: how many come in, null for all who are left. */
  async read(what: { code: string } | { bookingId: string }, places: number | null): Promise<void> {
    const at = new Date(serverClock.now()).toISOString();
    const scan: Scan = { id: newKey(), ...what, places, gate: this.gate.trim() || null, at, ahead: serverClock.ahead };
    this.#keep([...this.waiting, scan]);
    await this.#answerTo(scan);
    const forged = !this.#answers.has(scan.id) && scan.code !== undefined && (await genuine(scan.code, this.#key)) === false;
    const verdict = this.#answers.get(scan.id);
    if (verdict !== undefined) this.#show({ scan, ...verdict, verdict, offline: false });
    else if (this.refused !== null) this.#leaveOut(scan);
    else this.#judge(scan, forged);
  }

  /** Ends when the server has judged the scan, or cannot. */
  async #answerTo(scan: Scan): Promise<void> {
    // A line that is dead without saying so must not hold anybody up: after a moment this phone decides.
    const over = pause(PATIENCE_MS).then(() => true);
    // What is just being sent may have left without this scan, which goes with the next.
    while (this.online && this.refused === null && !this.#answers.has(scan.id) && this.waiting.some(({ id }) => id === scan.id)) {
      if (await Promise.race([this.#send(), over])) return;
    }
  }

  /** Takes back who was let in on a scan, by the server or here. */
  async undo(shown: Shown, reason: string): Promise<void> {
    const { scan } = shown;
    if (this.waiting.some(({ id }) => id === scan.id)) this.#turnAway(scan);
    else {
      await this.#server.undo(scan.id, reason);
      this.#isOut(scan, this.#answers.get(scan.id) ?? shown.verdict);
    }
    this.history = this.history.map((each) => (each.scan.id === scan.id ? { ...each, undone: true } : each));
    if (this.shown?.scan.id === scan.id) this.shown = null;
    await this.refresh();
  }

  /** What was known of an entry that has been taken back, until the next list tells: it may be the last for long. */
  #isOut(scan: Scan, verdict: Verdict | null): void {
    const bookingId = verdict?.booking_id ?? null;
    if (verdict === null || bookingId === null) return;
    const place = named(scan.code ?? '')?.place ?? null;
    const fewer = (entered: number) => Math.max(0, entered - verdict.places);
    const without = (news: readonly News[]) =>
      news.filter(({ id }) => id !== scan.id).map((each) => (each.bookingId === bookingId ? { ...each, entered: fewer(each.entered) } : each));
    this.#news = without(this.#news);
    this.#stored.forget(this.#untold);
    this.#untold = without(this.#untold);
    for (const each of this.#untold) this.#stored.tell(each);
    const listed = this.list.get(bookingId);
    if (listed === undefined) return;
    const now = { ...listed, entered: fewer(listed.entered), single: listed.single.filter((each) => each !== place) };
    this.list = new Map(this.list).set(bookingId, now);
    void this.#keepAll();
  }

  async refresh(): Promise<void> {
    try {
      this.counts = await this.#server.counts();
      if (!this.#asked) [this.schedule, this.#key] = await Promise.all([this.#server.schedule(), this.#server.key()]);
      this.#asked = true;
      this.#news = [];
      const listed = await this.#server.list();
      this.list = after(new Map(listed.map((ticket) => [ticket.booking_id, ticket])), this.#news);
      this.listedAt = serverClock.now();
      this.#connected();
    } catch (error) {
      this.#failed(asProblem(error));
      return;
    }
    await this.#keepAll();
  }

  /** What was kept at an earlier visit, so that nobody waits for a connection. */
  async #comeBack(): Promise<void> {
    const back = await this.#kept.back();
    if (back === null) return;
    this.comesBack = this.#listKept = true;
    this.#untold = this.#stored.news();
    ({ schedule: this.schedule, key: this.#key, counts: this.counts, listedAt: this.listedAt } = back);
    this.list = after(new Map(back.list.map((ticket) => [ticket.booking_id, ticket])), this.#untold);
  }

  async #keepAll(): Promise<void> {
    const { schedule, counts, list, listedAt } = this;
    if (schedule === undefined || counts === null || listedAt === null || this.#key === null) return;
    const told = this.#untold;
    const kept = await this.#kept.keep({ schedule, key: this.#key, counts, list: [...list.values()], listedAt });
    this.comesBack = kept;
    if (!kept) return;
    this.#listKept = true;
    this.#stored.forget(told);
    this.#untold = this.#untold.filter((each) => !told.includes(each));
  }

  /** Nobody comes in by a door that is closed, on whatever list their ticket stands. */
  #leaveOut(scan: Scan): void {
    this.shown = null;
    this.#keep(this.waiting.filter((each) => each.id !== scan.id));
  }

  /** This phone's own verdict, while nobody else can be asked. */
  #judge(scan: Scan, forged: boolean): void {
    const inside = this.#inside();
    const list = after(this.list, this.#stored.news()); // of another tab at this door, too
    const own =
      scan.bookingId === undefined
        ? judged(forged ? '' : (scan.code ?? ''), scan.places, this.#scheduleId, list, inside)
        : this.#judgeListed(scan, list, inside.places);
    if (own.result === 'admitted' && own.booking_id !== null) {
      const place = named(scan.code ?? '')?.place ?? null;
      const admitted = { bookingId: own.booking_id, places: own.places, place };
      this.#keep(this.waiting.map((each) => (each.id === scan.id ? { ...each, admitted } : each)));
    } else this.#turnAway(scan);
    const { result, places, entered, of } = own;
    this.#show({ scan, result, verdict: null, places, entered, of, offline: true, listed: this.list.get(own.booking_id ?? '') });
  }

  /** Nobody comes in by this scan. What the server cannot have it does not get; of what it may have its word is awaited. */
  #turnAway({ id }: Scan): void {
    if (this.#asking.has(id)) this.#late.add(id);
    const kept = this.#tried.has(id) ? this.waiting : this.waiting.filter((each) => each.id !== id);
    this.#keep(kept.map((each) => (each.id === id ? { ...each, turnedAway: true } : each)));
  }

  /** Who was let in here, or in another tab at this door, and is not counted by the server yet. */
  #inside(): Inside {
    const places = new Map<string, number>();
    const single = new Set<string>();
    const here = new Set(this.waiting.map(({ id }) => id));
    for (const { admitted, turnedAway } of [...this.waiting, ...this.#stored.waiting().filter(({ id }) => !here.has(id))]) {
      if (admitted === undefined || turnedAway) continue;
      places.set(admitted.bookingId, (places.get(admitted.bookingId) ?? 0) + admitted.places);
      if (admitted.place !== null) single.add(`${admitted.bookingId} ${admitted.place}`);
    }
    return { places, single };
  }

  #judgeListed({ bookingId, places }: Scan, list: ReadonlyMap<string, ListedTicket>, inside: ReadonlyMap<string, number>) {
    const listed = list.get(bookingId ?? '');
    const entered = (listed?.entered ?? 0) + (inside.get(bookingId ?? '') ?? 0);
    const of = listed?.places ?? 0;
    const now = places ?? of - entered;
    const admitted = now > 0 && now <= of - entered;
    const result: 'admitted' | 'already_in' = admitted ? 'admitted' : 'already_in';
    return { result, places: admitted ? now : 0, entered: entered + (admitted ? now : 0), of, booking_id: bookingId ?? null };
  }

  #show(shown: Shown): void {
    this.shown = shown;
    this.history = [shown, ...this.history.filter(({ scan }) => scan.id !== shown.scan.id)].slice(0, SHOWN_BEFORE);
  }

  /** Sends what waits, one batch at a time; ends when nothing waits or nobody answers. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null));
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    let sent = false;
    let most = BATCH;
    try {
      // When something was read is told by the server's clock, which a phone's may be hours from.
      if (this.waiting.length > 0 && !serverClock.known) this.counts = await this.#server.counts();
      while (this.waiting.length > 0) {
        const batch = this.waiting.slice(0, most);
        this.#asking = new Set(batch.map(({ id }) => id));
        for (const id of this.#asking) this.#tried.add(id);
        const verdicts = (await this.#sent(batch)) ?? (batch.length === 1 ? await this.#sent(batch.map(bare)) : null);
        this.#connected();
        if (verdicts === null) {
          if (batch.length === 1) this.#keep(this.waiting.slice(1));
          most = Math.max(1, Math.floor(batch.length / 2));
          continue;
        }
        await this.#takeIn(verdicts);
        sent = true;
      }
    } catch (error) {
      this.#late.clear();
      this.#failed(asProblem(error));
    } finally {
      this.#asking.clear();
    }
    if (sent) void this.#count();
  }

  async #count(): Promise<void> {
    try {
      this.counts = await this.#server.counts();
    } catch (error) {
      this.#failed(asProblem(error));
    }
  }

  /** The server's verdicts; null where it does not take them so: one that is no scan must not hold up the others. */
  async #sent(batch: readonly Scan[]): Promise<readonly Verdict[] | null> {
    try {
      return await this.#server.send(batch);
    } catch (error) {
      if (NOT_TAKEN.has(asProblem(error).status)) return null;
      throw error;
    }
  }

  /** What the server has answered is settled; but for whoever was turned away here it is taken back first. */
  async #takeIn(verdicts: readonly Verdict[]): Promise<void> {
    for (const verdict of verdicts) {
      const scan = this.waiting.find(({ id }) => id === verdict.id);
      const here = this.#late.has(verdict.id) && this.shown?.scan.id === verdict.id;
      if (scan?.turnedAway && verdict.result === 'admitted' && !here) await this.#server.undo(scan.id, language.of({ en, ko }).turnedAway);
      else {
        const news = this.#answered(scan, verdict);
        this.#news.push(...news);
        this.list = after(this.list, news);
        if (this.#listKept) this.#remember(news);
      }
      if (scan !== undefined && here && this.shown?.result !== verdict.result) this.#show({ scan, ...verdict, verdict, offline: false });
      this.#keep(this.waiting.filter(({ id }) => id !== verdict.id));
    }
  }

  #answered(scan: Scan | undefined, verdict: Verdict): News[] {
    this.#answers.set(verdict.id, verdict);
    const fewer = verdict.result !== 'admitted' || verdict.places < (scan?.admitted?.places ?? 0);
    if (scan?.admitted && !scan.turnedAway && fewer) this.conflicts = [...this.conflicts, verdict];
    if (verdict.booking_id === null) return [];
    const place = verdict.result === 'admitted' ? (named(scan?.code ?? '')?.place ?? null) : null;
    return [{ id: verdict.id, bookingId: verdict.booking_id, entered: verdict.entered, place }];
  }

  /** A page that comes back must not forget them either. */
  #remember(news: readonly News[]): void {
    for (const each of news) this.#stored.tell(each);
    this.#untold = [...this.#untold, ...news];
  }

  #connected(): void {
    this.online = true;
    this.refused = null;
  }

  #failed(problem: Problem): void {
    if (CLOSED.has(problem.status)) this.#closed(problem);
    else this.online = false;
  }

  /** Who may not work the door any more knows nothing of it any more. */
  #closed(problem: Problem): void {
    this.refused = problem;
    this.counts = this.listedAt = null;
    this.list = new Map();
    this.#stored.forget(this.#untold);
    this.#untold = [];
    this.#listKept = false;
    this.comesBack = null;
    void this.#kept.forget();
  }

  /** From now on these wait, here and in the browser's storage. */
  #keep(waiting: readonly Scan[]): void {
    const before = new Set(this.waiting);
    const ids = new Set(waiting.map(({ id }) => id));
    for (const { id } of this.waiting) if (!ids.has(id)) this.#stored.sent(id);
    const put = waiting.filter((scan) => !before.has(scan)).map((scan) => this.#stored.wait(scan));
    this.crowded = waiting.length > 0 && (this.crowded || put.includes(false));
    this.waiting = waiting;
  }
}

/** A scan without what may not be taken: when it was, by a clock that nobody knows, and where. */
const bare = (scan: Scan): Scan => ({ ...scan, at: '', gate: null });
const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
