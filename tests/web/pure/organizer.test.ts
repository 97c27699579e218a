// What an organizer types and what is made of it: plans, places in them, times, rules, prices, policies, drafts.
import assert from 'node:assert/strict';
import test from 'node:test';
import { keep, kept, keyOf, type Shelf } from '../../../api/web/src/organizer/drafts.ts';
import { dayAfter, instantOf, localOf, timeZones } from '../../../api/web/src/organizer/schedule/local.ts';
import { type Choice, daysOf, firstOf, isSaid, ruleOf, spoken, timesOf } from '../../../api/web/src/organizer/schedule/recurrence.ts';
import { POLICIES, minorOf, policyName, pricesOf, soldOut, typed } from '../../../api/web/src/organizer/terms/terms.ts';
import { MINUTES, type Terms, minutesOf, newTerms, policyOf, pricesFor, secondsOf, sellingOf, windowOf } from '../../../api/web/src/organizer/terms/values.ts';
import { en as live } from '../../../api/web/src/words/live/en.ts';
import { en as organizer } from '../../../api/web/src/words/organizer/en.ts';
import { en as terms } from '../../../api/web/src/words/terms/en.ts';
import { distinct } from '../../../api/web/src/seats/house/colours.ts';
import { placeOf } from '../../../api/web/src/organizer/venue/faults.ts';
import { COLOURS, type Part, count, isComplete, placesOf, planOf } from '../../../api/web/src/organizer/venue/generator.ts';

// --- a plan without a file ----------------------------------------------------------------------------------------------
const part = (different: Partial<Part>): Part => ({ key: 1, kind: 'rows', name: 'Stalls', category: 'R', rows: '3', seats: '4', aisle: false, places: '', ...different });
interface Seat {
  readonly seat_guid: string;
  readonly category: string;
  readonly position: { readonly x: number; readonly y: number };
}
interface Zone {
  readonly name: string;
  readonly position: { readonly x: number; readonly y: number };
  readonly rows?: readonly { readonly position: { readonly x: number; readonly y: number }; readonly seats: readonly Seat[] }[];
  readonly general_admission?: readonly { readonly guid: string; readonly capacity: number }[];
}
const zonesOf = (parts: readonly Part[]) => planOf(parts, 'Stage')['zones'] as readonly Zone[];
const seatsOf = (zones: readonly Zone[]) =>
  zones.flatMap((zone) => (zone.rows ?? []).flatMap((row) => row.seats.map((seat) => ({ ...seat, x: zone.position.x + seat.position.x, y: zone.position.y + row.position.y }))));

test('a plan has every place that was counted, each with an id and a spot of its own', () => {
  const parts = [part({}), part({ rows: '2', seats: '7', aisle: true, category: 'S' }), part({ kind: 'standing', name: 'Floor', category: 'F', places: '50' })];
  const seats = seatsOf(zonesOf(parts));
  assert.equal(seats.length, 3 * 4 + 2 * 7);
  assert.equal(new Set(seats.map(({ seat_guid }) => seat_guid)).size, seats.length);
  assert.equal(new Set(seats.map(({ x, y }) => `${x} ${y}`)).size, seats.length);
  assert.deepEqual(zonesOf(parts).flatMap((zone) => zone.general_admission ?? []).map(({ capacity }) => capacity), [50]);
  assert.deepEqual(parts.map(placesOf), [12, 14, 50]);
});

test('blocks stand one behind the other, in the middle, and two of one name are told apart', () => {
  const zones = zonesOf([part({ seats: '10' }), part({ seats: '4' })]);
  const [front, back] = zones.map((zone) => seatsOf([zone]));
  assert.ok(Math.max(...(front ?? []).map(({ y }) => y)) < Math.min(...(back ?? []).map(({ y }) => y)));
  const middle = (seats: readonly { x: number }[]) => (Math.min(...seats.map(({ x }) => x)) + Math.max(...seats.map(({ x }) => x))) / 2;
  assert.equal(middle(front ?? []), middle(back ?? []));
});

test('an aisle leaves the middle of a row free', () => {
  const steps = (aisle: boolean) => {
    const xs = seatsOf(zonesOf([part({ rows: '1', seats: '6', aisle })])).map(({ x }) => x);
    return xs.slice(1).map((x, index) => x - (xs[index] ?? 0));
  };
  assert.deepEqual(steps(false), [30, 30, 30, 30, 30]);
  assert.deepEqual(steps(true), [30, 30, 60, 30, 30]);
});

test('what cannot be counted is no place, and no plan is made of it', () => {
  for (const [text, value] of [['12', 12], [' 7 ', 7], ['0', 0], ['', 0], ['-1', 0], ['1.5', 0], ['1e3', 0], ['201', 0], ['many', 0]] as const) {
    assert.equal(count(text, 200), value, text);
  }
  assert.equal(isComplete([]), false);
  for (const wrong of [{ rows: '' }, { seats: 'x' }, { name: ' ' }, { category: '' }, { kind: 'standing' as const }]) {
    assert.equal(isComplete([part({}), part(wrong)]), false, JSON.stringify(wrong));
  }
  assert.equal(isComplete([part({})]), true);
});

test('categories have colours that the map need not change for anybody', () => {
  assert.deepEqual(distinct(COLOURS, '#ffffff'), COLOURS);
});

test('a fault is placed by the names of the plan', () => {
  const document = {
    zones: [
      { name: 'Stalls', rows: [{ row_number: 'A', seats: [{ seat_number: 1 }, {}] }], general_admission: [{ name: 'Floor' }] },
      { rows: [{ row_label: 'Row %s', row_number: '9', seats: [] }] },
    ],
  };
  const cases = [
    ['seating_plan.zones[0].rows[0].seats[0].category', 'Stalls', 'A', '1'],
    ['seating_plan.zones[0].rows[0].seats[1].seat_guid', 'Stalls', 'A', '#2'],
    ['seating_plan.zones[0].general_admission[0].capacity', 'Stalls', null, 'Floor'],
    ['seating_plan.zones[1].rows[0].seats', '#2', '9', null],
    ['seating_plan.zones[7].name', '#8', null, null],
    ['seating_plan', null, null, null],
  ] as const;
  for (const [field, zone, row, seat] of cases) {
    const place = placeOf(field, document);
    assert.deepEqual([place.zone, place.row, place.seat], [zone, row, seat], field);
  }
});

// --- times --------------------------------------------------------------------------------------------------------------
test('a time at the venue is an instant, whatever clocks do there', () => {
  const cases = [
    ['2027-12-24T19:30', 'Asia/Seoul', '2027-12-24T10:30:00.000Z'],
    ['2027-07-01T19:30', 'America/New_York', '2027-07-01T23:30:00.000Z'],
    ['2027-12-01T19:30', 'America/New_York', '2027-12-02T00:30:00.000Z'],
    ['2027-03-28T02:30', 'Europe/Berlin', '2027-03-28T01:30:00.000Z'], // skipped: half past three
    ['2027-10-31T02:30', 'Europe/Berlin', '2027-10-31T00:30:00.000Z'], // shown twice: the first
    ['2027-01-01T00:00', 'Asia/Kathmandu', '2026-12-31T18:15:00.000Z'],
  ] as const;
  for (const [local, zone, instant] of cases) {
    assert.equal(instantOf(local, zone), instant, `${local} ${zone}`);
    if (local !== '2027-03-28T02:30') assert.equal(localOf(instant, zone), local);
  }
  for (const text of ['', '2027-12-24', '2027-13-01T10:00', 'tomorrow']) assert.equal(instantOf(text, 'Asia/Seoul'), null, text);
});

test('days go on over the end of a year, and the usual zone comes first, once', () => {
  assert.equal(dayAfter('2027-12-31', 1), '2028-01-01');
  const zones = timeZones('Asia/Seoul');
  assert.equal(zones[0], 'Asia/Seoul');
  assert.equal(new Set(zones).size, zones.length);
});

// --- rules --------------------------------------------------------------------------------------------------------------
const choice = (different: Partial<Choice>): Choice => ({ start: '2027-12-24T19:30', frequency: 'once', weekdays: [], until: '', times: [], without: [], rule: '', ...different });

test('a choice becomes the rule that says it', () => {
  const cases: readonly (readonly [Partial<Choice>, string | null])[] = [
    [{}, null],
    [{ frequency: 'daily', until: '2027-12-26' }, 'FREQ=DAILY;UNTIL=20271226T193000'],
    [{ frequency: 'weekly', weekdays: [6, 3], until: '2028-01-31' }, 'FREQ=WEEKLY;BYDAY=WE,FR,SA;UNTIL=20280131T193000'],
    [{ frequency: 'daily', until: '2027-12-25', times: ['14:00', ''] }, 'FREQ=DAILY;UNTIL=20271225T140000\nRDATE:20271224T193000,20271225T193000'],
    [{ times: ['21:45'] }, 'FREQ=DAILY;UNTIL=20271224T193000\nRDATE:20271224T214500'],
    [{ frequency: 'daily', until: '2027-12-26', without: ['2027-12-25T19:30'] }, 'FREQ=DAILY;UNTIL=20271226T193000\nEXDATE:20271225T193000'],
    [{ frequency: 'daily', until: '' }, 'FREQ=DAILY;UNTIL=20271224T193000'],
    [{ frequency: 'rule', rule: ' FREQ=DAILY;COUNT=2 ' }, 'FREQ=DAILY;COUNT=2'],
    [{ frequency: 'rule', rule: '' }, null],
  ];
  for (const [different, rule] of cases) assert.equal(ruleOf(choice(different)), rule, JSON.stringify(different));
});

test('the first start is the earliest time of the first day, which the rule begins at', () => {
  assert.equal(firstOf(choice({ times: ['14:00'] })), '2027-12-24T14:00');
  assert.equal(firstOf(choice({ frequency: 'rule', times: ['14:00'] })), '2027-12-24T19:30');
  assert.deepEqual(timesOf(choice({ times: ['19:30', '14:00', ''] })), ['14:00', '19:30']);
});

test('days of a week are those chosen and the first date’s own, and no loop runs for ever', () => {
  assert.deepEqual(daysOf(choice({ frequency: 'weekly', weekdays: [0], until: '2028-01-02' })), ['2027-12-24', '2027-12-26', '2027-12-31', '2028-01-02']);
  assert.ok(daysOf(choice({ frequency: 'daily', until: '9999-12-31' })).length <= 366 * 3);
});

test('a rule is read back as people say it', () => {
  const weekly = choice({ frequency: 'weekly', weekdays: [6], times: ['14:00'] });
  assert.deepEqual(spoken(weekly, 'en'), { days: 'Friday and Saturday', times: '2:00 PM and 7:30 PM' });
  const korean = spoken(weekly, 'ko');
  assert.match(korean.days, /금요일.*토요일/);
  assert.match(korean.times, /오후 2:00.*오후 7:30/);
});

// --- prices and terms ---------------------------------------------------------------------------------------------------
test('amounts are typed in whole units and kept in minor ones', () => {
  const cases = [
    ['55,000', 'KRW', 55_000], ['55000.5', 'KRW', null], ['55.5', 'USD', 5_550], ['55.555', 'USD', null], ['0', 'KRW', 0],
    ['', 'KRW', null], ['-1', 'KRW', null], ['free', 'USD', null], ['1.234', 'BHD', 1_234], ['₩1', 'KRW', null],
    ['12,50', 'EUR', null], ['1,2345', 'KRW', null], ['1,234,567', 'KRW', 1_234_567], ['1 234.5', 'EUR', 123_450], ['1,234 567', 'KRW', null],
  ] as const;
  for (const [text, currency, minor] of cases) assert.equal(minorOf(text, currency), minor, `${text} ${currency}`);
  for (const currency of ['KRW', 'USD', 'BHD']) assert.equal(minorOf(typed(123_456, currency), currency), 123_456);
});

test('a sold out house brings prices times places of what is for sale, and nothing is sold without a price', () => {
  const prices = [
    { category: 'R', places: 10, amount: '1000', forSale: true },
    { category: 'S', places: 20, amount: '', forSale: false },
  ];
  assert.equal(soldOut(prices, 'KRW'), 10_000);
  assert.deepEqual(pricesOf(prices, 'KRW'), { R: 1_000, S: null });
  assert.equal(pricesOf([{ category: 'R', places: 1, amount: 'x', forSale: true }], 'KRW'), null);
  assert.equal(pricesOf([{ category: 'R', places: 1, amount: '1', forSale: false }], 'KRW'), null);
});

test('another house keeps the prices of categories of the same name', () => {
  const before = [{ category: 'R', places: 1, amount: '500', forSale: false }];
  assert.deepEqual(pricesFor([{ name: 'R', capacity: 9 }, { name: 'B', capacity: 2 }], before), [
    { category: 'R', places: 9, amount: '500', forSale: false },
    { category: 'B', places: 2, amount: '', forSale: true },
  ]);
});

test('a policy has a name, and steps of one’s own are taken as they are', () => {
  for (const [name, steps] of Object.entries(POLICIES)) assert.equal(policyName(steps), name);
  const own: Terms = { ...newTerms('KRW'), policy: 'own', steps: [{ days: '5', fee: '0' }, { days: '0', fee: '50' }] };
  assert.deepEqual(policyOf(own), [{ days_before: 5, fee_percent: 0 }, { days_before: 0, fee_percent: 50 }]);
  assert.equal(policyName(policyOf(own)), 'own');
});

test('terms become what the API takes', () => {
  const terms: Terms = { ...newTerms('KRW'), opens: '2027-12-01T10:00', closesBefore: '60', limit: '4', holdMinutes: '7.5', waitingRoom: true, policy: 'final' };
  assert.deepEqual(windowOf(terms, '2027-12-24T10:30:00.000Z', 'Asia/Seoul'), {
    sale_opens_at: '2027-12-01T01:00:00.000Z',
    sale_closes_at: '2027-12-24T09:30:00.000Z',
  });
  assert.equal(sellingOf(terms), null, 'nothing has a price');
  const priced = sellingOf({ ...terms, prices: [{ category: 'R', places: 1, amount: '10', forSale: true }] });
  assert.deepEqual(priced, { prices: { R: 10 }, max_seats_per_customer: 4, hold_seconds: 450, waiting_room: true, refund_policy: [], refund_when_moved: true });
});

// --- drafts -------------------------------------------------------------------------------------------------------------
function shelf(room = Infinity): Shelf & { readonly things: Map<string, string> } {
  const things = new Map<string, string>();
  return {
    things,
    getItem: (key) => things.get(key) ?? null,
    removeItem: (key) => void things.delete(key),
    setItem: (key, value) => {
      if (value.length > room) throw new Error('QuotaExceededError');
      things.set(key, value);
    },
  };
}

test('a draft comes back to its account and page alone, and only if it has the form’s parts', () => {
  const place = shelf();
  const like = { name: '', parts: [] as unknown[] };
  keep(place, keyOf('a', 'venues/new'), { name: 'Hall', parts: [1] });
  assert.deepEqual(kept(place, keyOf('a', 'venues/new'), like), { name: 'Hall', parts: [1] });
  assert.equal(kept(place, keyOf('b', 'venues/new'), like), null);
  assert.equal(kept(place, keyOf('a', 'venues/new'), { ...like, city: '' }), null, 'an older form');
  assert.equal(kept(place, keyOf('a', 'venues/new'), { name: '', parts: '' }), null, 'another kind');
  place.things.set(keyOf('a', 'broken'), '{');
  assert.equal(kept(place, keyOf('a', 'broken'), like), null);
});

test('a draft that does not fit is not kept by half', () => {
  const place = shelf(20);
  assert.equal(keep(place, 'k', { name: 'short' }), true);
  assert.equal(keep(place, 'k', { name: 'x'.repeat(100) }), false);
  assert.equal(place.things.size, 0);
});

test('what is played again and again says until when before anything is made of it', () => {
  for (const [different, said] of [
    [{ frequency: 'once' }, true],
    [{ frequency: 'daily', until: '' }, false],
    [{ frequency: 'daily', until: '2027-12-23' }, false], // before it begins
    [{ frequency: 'daily', until: '2027-12-24' }, true],
    [{ frequency: 'weekly', until: '' }, false],
    [{ frequency: 'rule', rule: ' ' }, false],
    [{ frequency: 'rule', rule: 'FREQ=DAILY;COUNT=2' }, true],
  ] as const) {
    assert.equal(isSaid(choice({ start: '2027-12-24T19:30', ...different })), said, JSON.stringify(different));
  }
});

test('minutes in a field come to the seconds that they were made of, whichever the API takes', () => {
  for (let seconds = 30; seconds <= 3600; seconds += 1) assert.equal(secondsOf(minutesOf(seconds)), seconds);
  assert.equal(minutesOf(30), '0.5');
  for (const minutes of ['0.5', '10', '1.67']) assert.match(minutes, new RegExp(`^(?:${MINUTES})$`));
  for (const words of [terms.schedule.holdHint, live.settings.minutesHint]) assert.match(words, /^From half a minute to 60\./);
});

test('of the address of a picture it is said from where pictures are shown', () => {
  assert.match(organizer.performance.pictureHint('cdn.example, img.example'), /cdn\.example, img\.example/);
  assert.match(organizer.performance.pictureHint(''), /no pictures/);
});
