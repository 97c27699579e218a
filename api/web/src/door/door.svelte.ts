/**
 * One door: each scan is told at once, sent as soon as it can be, and never lost.
 *
 *     const door = new Door(scheduleId, server, kept)
 *     await door.read(code, null)     shows a verdict, the server's or, without a connection, this phone's own
 *     door.shown, door.history        reactive
 *
 * A scan stays with this browser until the server has answered it (`scans.ts`), so a closed tab or a dead battery sends it later,
 * once. Whoever this phone turns away is not let in later by a scan that is still on its way: that is shown while they stand
 * there, and taken back when they have gone. Of somebody this phone let in, what the server says otherwise is kept in `conflicts`,
 * and what it will not hear of in `uncounted`. What a page goes by that comes back without a connection is what was kept here
 * last (`kept.ts`), and what the server has said since; while there is no list, nobody is told that they are not on it.
 */

import { Problem, asProblem } from '../api/problem.ts';
import { newKey } from '../api/keys.ts';
import { serverClock } from '../api/clock.ts';
import type { Schedule } from '../api/shapes.ts';
import type { KeptDoor } from './kept.ts';
import { after, found, genuine, judged, named, type ListedTicket, type News, type OfflineVerdict } from './offline.ts';
import { type Scan, Scans } from './scans.ts';
import type { Counts, DoorServer, Verdict } from './server.ts';
import { StoredDoor } from './stored.ts';
import { onDevice } from '../storage.ts';
import { language } from '../words/language.svelte.ts';
import { en } from '../words/door/en.ts';
import { ko } from '../words/door/ko.ts';

/** A scan and what is said of it: by the server, or where there is no `verdict` of it by this phone. */
export interface Shown extends Pick<Verdict, 'places' | 'entered' | 'of'>, Pick<ListedTicket, 'name' | 'labels'> {
  readonly result: Verdict['result'] | OfflineVerdict['result'];
  readonly scan: Scan;
  readonly verdict: Verdict | null;
  readonly undone?: boolean;
}

const SHOWN_BEFORE = 20;
const SEND_AGAIN_MS = 4_000;
const PATIENCE_MS = 3_000;
const REFRESH_MS = 20_000;
const CLOSED = new Set([401, 403, 404]);

export class Door {
  shown = $state.raw<Shown | null>(null);
  history = $state.raw<readonly Shown[]>([]);
  /** How many scans are not sent yet. */
  waiting = $state(0);
  conflicts = $state.raw<readonly Verdict[]>([]);
  uncounted = $state.raw<readonly Scan[]>([]);
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
  readonly #scans: Scans;
  #sending: Promise<void> | null = null;
  /** Ends when what was kept is here again: until then this phone knows nobody. */
  #back = Promise.resolve();
  readonly #answers = new Map<string, Verdict>();
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
    this.#scans = new Scans(this.#stored, () => this.#look());
    this.#gate = this.#stored.gate;
    this.#look();
  }

  #look(): void {
    ({ crowded: this.crowded, uncounted: this.uncounted } = this.#scans);
    this.waiting = this.#scans.waiting.length;
  }

  get gate(): string {
    return this.#gate;
  }

  set gate(name: string) {
    this.#gate = this.#stored.gate = name;
  }

  /** Keeps list and counts fresh and sends what waits, until the function it gives is called. */
  start(): () => void {
    this.#back = this.#comeBack();
    void this.#back.then(() => this.refresh());
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
    this.#scans.read(scan);
    await this.#answerTo(scan);
    const forged = !this.#answers.has(scan.id) && scan.code !== undefined && (await genuine(scan.code, this.#key)) === false;
    const verdict = this.#answers.get(scan.id);
    if (verdict !== undefined) this.#show({ scan, ...verdict, verdict });
    else if (this.refused === null) this.#judge(scan, forged);
    else {
      // Nobody comes in by a door that is closed, on whatever list their ticket stands.
      this.shown = null;
      this.#scans.end(scan.id);
    }
  }

  /** Ends when the server has judged the scan, or cannot and this phone is ready to. */
  async #answerTo(scan: Scan): Promise<void> {
    // A line that is dead without saying so must not hold anybody up: after a moment this phone decides.
    const over = pause(PATIENCE_MS).then(() => true);
    await Promise.race([this.#back, over]);
    // What is just being sent may have left without this scan, which goes with the next.
    while (this.online && this.refused === null && this.#scans.waiting.some(({ id }) => id === scan.id)) {
      if (await Promise.race([this.#send(), over])) return;
    }
  }

  /** Takes back who was let in on a scan, by the server or here. */
  async undo(shown: Shown, reason: string): Promise<void> {
    const { scan } = shown;
    if (this.#scans.of(scan.id) !== undefined) this.#scans.turnAway(scan.id);
    else {
      await this.#server.undo(scan.id, reason);
      this.#isOut(scan);
    }
    this.history = this.history.map((each) => (each.scan.id === scan.id ? { ...each, undone: true } : each));
    if (this.shown?.scan.id === scan.id) this.shown = null;
    await this.refresh();
  }

  /** What was known of an entry that has been taken back, until the next list tells: it may be the last for long. */
  #isOut({ id, code }: Scan): void {
    const { booking_id: bookingId, places } = this.#answers.get(id) ?? { booking_id: null, places: 0 };
    if (bookingId === null) return;
    const less = <T extends { entered: number }>(each: T): T => ({ ...each, entered: Math.max(0, each.entered - places) });
    const without = (news: readonly News[]) =>
      news.filter((each) => each.id !== id).map((each) => (each.bookingId === bookingId ? less(each) : each));
    this.#news = without(this.#news);
    this.#stored.forget(this.#untold);
    this.#untold = without(this.#untold);
    for (const each of this.#untold) this.#stored.tell(each);
    const listed = this.list.get(bookingId);
    if (listed === undefined) return;
    const place = named(code ?? '')?.place ?? null;
    this.list = new Map(this.list).set(bookingId, { ...less(listed), single: listed.single.filter((each) => each !== place) });
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
      await this.#keepAll();
    } catch (error) {
      this.#failed(asProblem(error));
    }
  }

  /** What was kept at an earlier visit, so that nobody waits for a connection. */
  async #comeBack(): Promise<void> {
    const back = await this.#kept.back();
    if (back === null) return;
    this.comesBack = this.#listKept = true;
    for (const each of this.#news) this.#stored.tell(each); // said while it was read
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

  /** This phone's own verdict, while nobody else can be asked. */
  #judge(scan: Scan, forged: boolean): void {
    const list = this.listedAt === null ? null : after(this.list, this.#stored.news()); // of another tab at this door, too
    const ticket = scan.code === undefined ? found(list?.get(scan.bookingId ?? ''), this.#scheduleId) : forged ? null : named(scan.code);
    const own = judged(ticket, scan.places, this.#scheduleId, list, this.#scans.inside);
    const { result, places, booking_id: bookingId } = own;
    if (result === 'admitted' && bookingId !== null) this.#scans.letIn(scan.id, { bookingId, places, place: ticket?.place ?? null });
    else this.#scans.turnAway(scan.id);
    this.#show({ scan, ...own, verdict: null });
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
    try {
      // When something was read is told by the server's clock, which a phone's may be hours from.
      if (this.waiting > 0 && !serverClock.known) this.counts = await this.#server.counts();
      await this.#scans.send(async (batch) => {
        const verdicts = await this.#server.send(batch);
        this.#connected();
        for (const verdict of verdicts ?? []) await this.#takeIn(verdict);
        sent ||= verdicts !== null;
        return verdicts !== null;
      });
    } catch (error) {
      this.#failed(asProblem(error));
    }
    if (sent) void this.#server.counts().then((counts) => (this.counts = counts), (error: unknown) => this.#failed(asProblem(error)));
  }

  /** What the server has answered is over; but for whoever was turned away here it is taken back first. */
  async #takeIn(verdict: Verdict): Promise<void> {
    const { scan, state } = this.#scans.of(verdict.id) ?? {};
    const here = state === 'late' && this.shown?.scan.id === verdict.id;
    if (scan?.turnedAway && verdict.result === 'admitted' && !here) await this.#server.undo(scan.id, language.of({ en, ko }).turnedAway);
    else this.#learn(verdict, scan);
    if (scan !== undefined && here && this.shown?.result !== verdict.result) this.#show({ scan, ...verdict, verdict });
    this.#scans.end(verdict.id);
  }

  #learn(verdict: Verdict, scan: Scan | undefined): void {
    const { id, result, places, entered, booking_id: bookingId } = verdict;
    this.#answers.set(id, verdict);
    const fewer = result !== 'admitted' || places < (scan?.admitted?.places ?? 0);
    if (scan?.admitted && !scan.turnedAway && fewer) this.conflicts = [...this.conflicts, verdict];
    if (bookingId === null) return;
    const news = { id, bookingId, entered, place: result === 'admitted' ? (named(scan?.code ?? '')?.place ?? null) : null };
    this.#news.push(news);
    this.list = after(this.list, [news]);
    if (!this.#listKept) return;
    this.#stored.tell(news); // a page that comes back must not forget them either
    this.#untold = [...this.#untold, news];
  }

  #connected(): void {
    this.online = true;
    this.refused = null;
  }

  #failed(problem: Problem): void {
    if (!CLOSED.has(problem.status)) {
      this.online = false;
      return;
    }
    // Who may not work the door any more knows nothing of it any more.
    this.refused = problem;
    this.counts = this.listedAt = null;
    this.list = new Map();
    this.#stored.forget(this.#untold);
    this.#untold = [];
    this.#listKept = false;
    this.comesBack = null;
    void this.#kept.forget();
  }
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
