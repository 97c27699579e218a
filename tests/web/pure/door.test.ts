// What a phone says of a code without a connection: by the list, nobody twice, and nothing it cannot know.
import assert from 'node:assert/strict';
import test from 'node:test';
import { judged, named, search, type ListedTicket } from '../../../api/web/src/door/offline.ts';

const BOOKING = '01980000-0000-7000-8000-00000000000b';
const SCHEDULE = '01980000-0000-7000-8000-00000000000a';
const OTHER = '01980000-0000-7000-8000-00000000000c';

const bytes = (uuid: string) => Buffer.from(uuid.replaceAll('-', ''), 'hex');
const code = (booking = BOOKING, schedule = SCHEDULE) =>
  Buffer.concat([Buffer.of(1), bytes(booking), bytes(schedule), Buffer.of(0, 4), Buffer.alloc(16, 7)]).toString('base64url');

const listed = (entered = 0): ReadonlyMap<string, ListedTicket> =>
  new Map([[BOOKING, { booking_id: BOOKING, places: 4, entered, seats: ['A-1', 'A-2', 'A-3', 'A-4'], name: '김민지' }]]);
const nobody: ReadonlyMap<string, number> = new Map();

const CASES = [
  ['a whole ticket', code(), null, listed(), nobody, 'admitted', 4],
  ['two of four', code(), 2, listed(), nobody, 'admitted', 2],
  ['the other two, counted by the server', code(), null, listed(2), nobody, 'admitted', 2],
  ['the other two, counted here', code(), null, listed(), new Map([[BOOKING, 2]]), 'admitted', 2],
  ['nobody is left', code(), null, listed(4), nobody, 'already_in', 0],
  ['more than are left', code(), 3, listed(2), nobody, 'already_in', 0],
  ['another date', code(BOOKING, OTHER), null, listed(), nobody, 'other_schedule', 0],
  ['a booking that is not on the list', code(OTHER), null, listed(), nobody, 'not_genuine', 0],
  ['no code at all', 'hello', null, listed(), nobody, 'not_genuine', 0],
  ['an empty one', '', null, listed(), nobody, 'not_genuine', 0],
  ['another alphabet', '한글', null, listed(), nobody, 'not_genuine', 0],
] as const;

for (const [what, text, wanted, list, inside, result, places] of CASES) {
  test(`${what}: ${result}`, () => {
    const verdict = judged(text, wanted, SCHEDULE, list, inside);
    assert.deepEqual([verdict.result, verdict.places], [result, places]);
  });
}

test('a code names its booking and its schedule', () => {
  assert.deepEqual(named(code()), { bookingId: BOOKING, scheduleId: SCHEDULE });
  assert.deepEqual(named(` ${code()}\n`), { bookingId: BOOKING, scheduleId: SCHEDULE });
});

test('a name is found by its beginning, in either spelling, and by its seats', () => {
  const all = [...listed().values()];
  for (const query of ['김', '민지', '김민지'.normalize('NFD'), 'a-3', '김 A-4']) assert.equal(search(all, query).length, 1, query);
  for (const query of ['', '  ', '박', '김 B-1']) assert.equal(search(all, query).length, 0, query);
});
