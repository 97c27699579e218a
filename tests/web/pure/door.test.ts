// What a phone says of a code without a connection: by the list, nobody twice, and nothing it cannot know.
import assert from 'node:assert/strict';
import test from 'node:test';
import { after, found, genuine, judged, named, search, type Admitted, type ListedTicket } from '../../../api/web/src/door/offline.ts';

const BOOKING = '01980000-0000-7000-8000-00000000000b';
const SCHEDULE = '01980000-0000-7000-8000-00000000000a';
const OTHER = '01980000-0000-7000-8000-00000000000c';

const bytes = (uuid: string) => Buffer.from(uuid.replaceAll('-', ''), 'hex');
const body = (booking: string, schedule: string, places = 4) => Buffer.concat([Buffer.of(2), bytes(booking), bytes(schedule), Buffer.of(0, places)]);
const code = (booking = BOOKING, schedule = SCHEDULE) =>
  Buffer.concat([body(booking, schedule), Buffer.alloc(64, 7)]).toString('base64url');
const whole = (places: number) => Buffer.concat([body(BOOKING, SCHEDULE, places), Buffer.alloc(64, 7)]).toString('base64url');
const seatCode = (seat: string, number = 1) =>
  Buffer.concat([Buffer.of(3), bytes(BOOKING), bytes(SCHEDULE), Buffer.of(0, number), Buffer.from(seat), Buffer.alloc(64, 7)]).toString('base64url');

const TICKET = {
  booking_id: BOOKING,
  number: '7K3M-Q2XD',
  places: 4,
  single: [],
  seats: ['A-1', '석-2', 'A-3', '석-2'],
  labels: ['1', '2', '3', '2'].map((number) => ({ zone: '1층', row: '가', number })),
  name: '김민지',
};
const listed = (entered = 0): ReadonlyMap<string, ListedTicket> =>
  new Map([[BOOKING, { ...TICKET, entered }]]);
const nobody: readonly Admitted[] = [];
const two: readonly Admitted[] = ['A-1#1', '석-2#1'].map((place) => ({ bookingId: BOOKING, places: 1, place }));

const CASES = [
  ['a whole ticket', code(), null, listed(), nobody, 'admitted', 4],
  ['two of four', code(), 2, listed(), nobody, 'admitted', 2],
  ['the other two, counted by the server', code(), null, listed(2), nobody, 'admitted', 2],
  ['the other two, counted here', code(), null, listed(), two, 'admitted', 2],
  ['one place of four', seatCode('A-1'), null, listed(), nobody, 'admitted', 1],
  ['the same place again', seatCode('A-1'), null, listed(), two, 'already_in', 0],
  ['another place', seatCode('A-3'), null, listed(), two, 'admitted', 1],
  ['the second of two alike', seatCode('석-2', 2), null, listed(), two, 'admitted', 1],
  ['a place that the booking has no more', seatCode('A-2'), null, listed(), nobody, 'replaced', 0],
  ['one of several alike, of which fewer are left', seatCode('석-2', 3), null, listed(), nobody, 'replaced', 0],
  ['a booking that had more places', whole(5), null, listed(), nobody, 'replaced', 0],
  ['a booking that had fewer', whole(2), 2, listed(), nobody, 'replaced', 0],
  ['a place when all are in', seatCode('A-3'), null, listed(4), nobody, 'already_in', 0],
  ['nobody is left', code(), null, listed(4), nobody, 'already_in', 0],
  ['more than are left', code(), 3, listed(2), nobody, 'already_in', 0],
  ['another date', code(BOOKING, OTHER), null, listed(), nobody, 'other_schedule', 0],
  ['a booking that is not on the list', code(OTHER), null, listed(), nobody, 'not_genuine', 0],
  ['no code at all', 'hello', null, listed(), nobody, 'not_genuine', 0],
  ['an empty one', '', null, listed(), nobody, 'not_genuine', 0],
  ['another alphabet', '한글', null, listed(), nobody, 'not_genuine', 0],
  ['a ticket where there is no list', code(), null, null, nobody, 'unknown', 0],
  ['another date where there is no list', code(BOOKING, OTHER), null, null, nobody, 'other_schedule', 0],
  ['no code where there is no list', 'hello', null, null, nobody, 'not_genuine', 0],
] as const;

for (const [what, text, wanted, list, inside, result, places] of CASES) {
  test(`${what}: ${result}`, () => {
    const verdict = judged(named(text), wanted, SCHEDULE, list, inside);
    assert.deepEqual([verdict.result, verdict.places], [result, places]);
  });
}

test('who is found on the list is judged as by the code of the booking, and who has gone from it is not on it', () => {
  const judgedAs = (list: ReadonlyMap<string, ListedTicket>, wanted: number | null, inside = nobody) => {
    const { result, places, entered, of, name, labels } = judged(found(list.get(BOOKING), SCHEDULE), wanted, SCHEDULE, list, inside);
    return [result, places, entered, of, name, labels.length];
  };
  assert.deepEqual(judgedAs(listed(), null), ['admitted', 4, 4, 4, '김민지', 4]);
  assert.deepEqual(judgedAs(listed(1), 1, two), ['admitted', 1, 4, 4, '김민지', 4]);
  assert.deepEqual(judgedAs(listed(1), 2, two), ['already_in', 0, 3, 4, '김민지', 4]);
  assert.deepEqual(judgedAs(listed(4), null), ['already_in', 0, 4, 4, '김민지', 4]);
  assert.deepEqual(judgedAs(new Map(), null), ['not_genuine', 0, 0, 0, null, 0]);
});

test('what the server said since the list was made counts, and nobody is forgotten by an older list', () => {
  const single = `A-1#1`;
  const now = after(listed(), [{ id: '1', bookingId: BOOKING, entered: 1, place: single }, { id: '2', bookingId: OTHER, entered: 1, place: null }]);
  assert.deepEqual([now.size, now.get(BOOKING)?.entered, now.get(BOOKING)?.single], [1, 1, [single]]);
  assert.equal(judged(named(seatCode('A-1')), null, SCHEDULE, now, nobody).result, 'already_in');
  assert.equal(judged(named(seatCode('A-3')), null, SCHEDULE, now, nobody).result, 'admitted');
  assert.equal(after(listed(3), [{ id: '1', bookingId: BOOKING, entered: 1, place: null }]).get(BOOKING)?.entered, 3);
});

test('a code names its booking and its schedule', () => {
  assert.deepEqual(named(code()), { bookingId: BOOKING, scheduleId: SCHEDULE, place: null, seat: null, number: 4 });
  assert.deepEqual(named(` ${code()}\n`), { bookingId: BOOKING, scheduleId: SCHEDULE, place: null, seat: null, number: 4 });
  assert.deepEqual(named(seatCode('석-2', 2)), { bookingId: BOOKING, scheduleId: SCHEDULE, place: '석-2#2', seat: '석-2', number: 2 });
});

test('a code is genuine if it was signed with the key, and nobody knows of one that has no such signature', async () => {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const key = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const signed = body(BOOKING, SCHEDULE);
  const signature = Buffer.from(await crypto.subtle.sign('Ed25519', pair.privateKey, signed));
  const real = Buffer.concat([signed, signature]);
  assert.equal(await genuine(real.toString('base64url'), key), true);
  real.writeUInt8(9, 34);
  assert.equal(await genuine(real.toString('base64url'), key), false);
  assert.equal(await genuine(code(), key), false);
  assert.equal(await genuine('한글', key), false);
  assert.equal(await genuine(code(), null), null);
  const former = Buffer.concat([Buffer.of(1), bytes(BOOKING), bytes(SCHEDULE), Buffer.of(0, 4), Buffer.alloc(16)]);
  assert.equal(await genuine(former.toString('base64url'), key), null);
});

test('a name is found by its beginning, in either spelling, by its booking number and by its seats', () => {
  const all = [...listed().values()];
  for (const query of ['김', '민지', '김민지'.normalize('NFD'), 'a-3', '김 A-1', 'q2xd', '1층 가 3']) assert.equal(search(all, query).length, 1, query);
  for (const query of ['', '  ', '박', '김 B-1', '김 2층']) assert.equal(search(all, query).length, 0, query);
});
