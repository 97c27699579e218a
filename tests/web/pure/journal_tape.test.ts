import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME, Tape, type Step, type TapePage } from '../../../api/web/src/admin/journal/tape.ts';

const SIZE = 40;

/** A sale that goes round and round: seat n is held, sold and given back by booking n, as the API tells it. */
function story(length: number): Step[] {
  return Array.from({ length }, (_, index) => {
    const version = index + 1;
    const [seat, phase] = [Math.floor(index / 3) % SIZE, index % 3];
    const state = [1, 2, 0][phase] ?? 0;
    const type = ['reservation.held', 'reservation.confirmed', 'refund.requested'][phase] ?? '';
    const at = new Date(version * 1000).toISOString();
    const data = { booking_id: `booking ${Math.floor(index / 3)}` };
    return { version, at, type, data, seats: [[seat, state]], areas: [[0, version, 0, 0, 0]], places: state === 0 ? [] : [seat] };
  });
}

/** The house after so many steps, by playing them from the first one on: the slow way, and the true one. */
function played(steps: readonly Step[], version: number) {
  const seats = Array<number>(SIZE).fill(0);
  const owners = Array<string>(SIZE).fill('');
  for (const step of steps.slice(0, version)) {
    for (const [seat = 0, state = 0] of step.seats) {
      seats[seat] = state;
      owners[seat] = state === 0 ? '' : String(step.data['booking_id']);
    }
  }
  return { seats, owners };
}

function packed(seats: readonly number[]): string {
  const bytes = new Uint8Array(Math.ceil(seats.length / 4));
  seats.forEach((state, seat) => (bytes[seat >> 2] = (bytes[seat >> 2] ?? 0) | (state << (2 * (seat & 3)))));
  return btoa(String.fromCharCode(...bytes));
}

function page(steps: readonly Step[], from: number, count: number): TapePage {
  const { seats, owners } = played(steps, from - 1);
  const bookings = owners.flatMap((id, seat) => (id === '' ? [] : [{ id, customer_id: 'c', places: [seat] }]));
  const before = { version: from - 1, seats: packed(seats), areas: [[from - 1, 0, 0, 0]], bookings };
  return { newest: steps.length, before, items: steps.slice(from - 1, from - 1 + count) };
}

function agrees(tape: Tape, steps: readonly Step[], version: number): void {
  const shot = tape.at(version);
  const due = played(steps, version);
  assert.deepEqual([...shot.seats], due.seats, `states at ${version}`);
  assert.deepEqual([...shot.owners].map((number) => tape.bookings[number]), due.owners, `owners at ${version}`);
  assert.deepEqual(shot.areas[0], [version, 0, 0, 0], `areas at ${version}`);
}

test('the house at any version is what playing the journal gives, whichever way one goes', () => {
  const steps = story(3 * FRAME + 17);
  const tape = new Tape(SIZE);
  for (let from = 1; from <= steps.length; from += 300) tape.add(page(steps, from, 300));
  assert.equal(tape.count, steps.length);
  for (const version of [0, 1, steps.length, 5, FRAME, FRAME + 1, FRAME - 1, 400, 399, 398, 2 * FRAME, 700, 3]) agrees(tape, steps, version);
});

test('pages come in any order, and what is not here yet is said', () => {
  const steps = story(1_000);
  const tape = new Tape(SIZE);
  tape.add(page(steps, 601, 200));
  assert.deepEqual([600, 601, 800, 801, 599, 0].map((version) => tape.has(version)), [true, true, true, false, false, false]);
  agrees(tape, steps, 650);
  assert.throws(() => tape.at(100), RangeError);
  tape.add(page(steps, 1, 200));
  assert.equal(tape.has(200), true);
  assert.equal(tape.has(201), false, 'the tape has a hole, and what is beyond it is not made up');
  agrees(tape, steps, 700);
  agrees(tape, steps, 100);
});

test('a long tape moves by a bounded number of steps', () => {
  const steps = story(5_000);
  const tape = new Tape(SIZE);
  for (let from = 1; from <= steps.length; from += 2_000) tape.add(page(steps, from, 2_000));
  for (const version of [4_999, 1, 2_500, 4_000, 0, 5_000]) agrees(tape, steps, version);
});

test('times, bookings and seats lead to their versions', () => {
  const steps = story(300);
  const tape = new Tape(SIZE);
  tape.add(page(steps, 1, 300));
  assert.equal(tape.versionAt(41_500), 41);
  assert.equal(tape.versionAt(0), 0);
  assert.deepEqual(tape.ofBooking('booking 2').map(({ version }) => version), [7, 8, 9]);
  assert.deepEqual(tape.ofSeat(0).slice(0, 3).map(({ version }) => version), [1, 2, 3]);
});
