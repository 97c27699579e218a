// Amounts, times and months as people read them, and that both languages have every word.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import test from 'node:test';
import { clientName } from '../../../api/web/src/customer/account/client-name.ts';
import { daysOf } from '../../../api/web/src/customer/finding/days.ts';
import { compared, moved, monthOf, weeksOf } from '../../../api/web/src/customer/finding/month.ts';
import { stateOf } from '../../../api/web/src/customer/booking/state.ts';
import { mayShow, posterOf } from '../../../api/web/src/look/poster.ts';
import { en } from '../../../api/web/src/words/en.ts';
import { ko } from '../../../api/web/src/words/ko.ts';
import { clockFace, dateOf, dayAndTime, until } from '../../../api/web/src/words/moments.ts';
import { money } from '../../../api/web/src/words/money.ts';
import { en as problemsInEnglish } from '../../../api/web/src/words/problems/en.ts';
import { ko as problemsInKorean } from '../../../api/web/src/words/problems/ko.ts';

test('amounts are whole minor units of their currency', () => {
  assert.equal(money(55_000, 'KRW', 'en'), '₩55,000');
  assert.equal(money(55_000, 'KRW', 'ko'), '55,000원'); // as the mails have it
  assert.equal(money(5_500, 'USD', 'en'), '$55.00');
  assert.equal(money(1_234, 'BHD', 'en').replace(/\s/g, ' '), 'BHD 1.234');
  assert.equal(money(1_234_500, 'IDR', 'en').replace(/\s/g, ' '), 'IDR 12,345.00'); // not by what is usual in shops
});

test('a date is on the day that it is where it is played, whatever stands above it', () => {
  const seoul = { starts_at: '2027-03-13T01:00:00.000+00:00', time_zone: 'Asia/Seoul' };
  const newYork = { starts_at: '2027-03-13T01:00:00.000+00:00', time_zone: 'America/New_York' };
  const later = { starts_at: '2027-03-13T10:30:00.000+00:00', time_zone: 'Asia/Seoul' };
  assert.deepEqual(daysOf([later, seoul, newYork]), [
    { date: '2027-03-12', dates: [newYork] },
    { date: '2027-03-13', dates: [seoul, later] },
  ]);
  assert.deepEqual(daysOf([]), []);
});

test("times are the venue's", () => {
  assert.match(dayAndTime('2026-12-24T10:30:00Z', 'en', 'Asia/Seoul'), /Dec 24.*7:30/);
  assert.match(dayAndTime('2026-12-24T10:30:00Z', 'en', 'America/New_York'), /Dec 24.*5:30/);
  assert.equal(dateOf('2026-12-24T15:30:00Z', 'Asia/Seoul'), '2026-12-25');
});

test('until the end of a day is until that day, and not until the first moment of the next', () => {
  assert.match(until('2026-12-23T15:00:00Z', 'en', 'Asia/Seoul'), /^Wed, Dec 23, 2026$/);
  assert.match(until('2026-12-23T15:00:00Z', 'en', 'America/New_York'), /Dec 23, 2026, 10:00/);
});

test('a seat is named by section, row and number, a standing place by its area, and no unit stands twice', () => {
  assert.equal(en.seats.placeIn('Stalls', 'C', '7'), 'Stalls, row C seat 7');
  assert.equal(en.seats.placeIn('Ground', '', 'Pit'), 'Ground, Pit');
  assert.equal(en.seats.placeIn('Floor', '', 'Floor'), 'Floor');
  assert.equal(ko.seats.placeIn('1층', 'C열', '7'), '1층 C열 7번');
  assert.equal(ko.seats.placeIn('1층', '', '스탠딩'), '1층 스탠딩');
});

test('a countdown never goes below nothing', () => {
  for (const [left, face] of [[-5_000, '0:00'], [59_900, '1:00'], [600_000, '10:00'], [3_723_000, '1:02:03']] as const) {
    assert.equal(clockFace(left), face);
  }
});

test('a month has each of its days once, under its weekday', () => {
  for (const month of [{ year: 2026, month: 2 }, { year: 2028, month: 2 }, { year: 2026, month: 12 }]) {
    const weeks = weeksOf(month);
    assert.ok(weeks.every((week) => week.length === 7));
    const days = weeks.flat().filter((date) => date !== null);
    assert.equal(days.length, new Date(Date.UTC(month.year, month.month, 0)).getUTCDate());
    for (const week of weeks) {
      week.forEach((date, weekday) => date === null || assert.equal(new Date(`${date}T00:00Z`).getUTCDay(), weekday));
    }
  }
});

test('months follow one another over the turn of the year', () => {
  assert.deepEqual(moved({ year: 2026, month: 12 }, 1), { year: 2027, month: 1 });
  assert.deepEqual(moved({ year: 2026, month: 1 }, -1), { year: 2025, month: 12 });
  assert.ok(compared(monthOf('2026-12-01'), monthOf('2027-01-31')) < 0);
});

test('a payment under way is a state of its own', () => {
  const refunds: { amount: number }[] = [];
  assert.equal(stateOf({ status: 'held', payment: { status: 'pending' }, refunds }), 'pending');
  assert.equal(stateOf({ status: 'held', payment: { status: 'declined' }, refunds }), 'held');
  assert.equal(stateOf({ status: 'confirmed', payment: { status: 'approved' }, refunds }), 'confirmed');
});

test('what was ended without its money is not called refunded', () => {
  const standing = { status: 'refunded', payment: { status: 'refunded' } };
  assert.equal(stateOf({ ...standing, refunds: [{ amount: 0 }] }), 'cancelled');
  assert.equal(stateOf({ ...standing, refunds: [] }), 'cancelled', 'whose money it was is another');
  assert.equal(stateOf({ ...standing, refunds: [{ amount: 5_000 }, { amount: 0 }] }), 'refunded');
});

test('a refusal says which of several reasons it has', () => {
  for (const { details: words } of [problemsInEnglish, problemsInKorean]) {
    for (const [code, reasons] of [['not_refundable', ['checked_in', 'handed_on', 'kept']], ['transfer_not_allowed', ['begun', 'held', 'not_allowed']], ['booking_not_changeable', ['begun', 'not_held', 'other_date', 'other_price', 'paid']]] as const) {
      const said = [...reasons, undefined].map((reason) => words[code]?.({ code, title: '', status: 409, detail: '', reason }));
      assert.equal(new Set(said).size, reasons.length + 1, code);
    }
  }
});

test('a picture is shown from hosts that the operator has named, over https, and from nowhere else', () => {
  const hosts = 'cdn.example.com pictures.example:8443';
  for (const shown of ['https://cdn.example.com/a.jpg', 'https://pictures.example:8443/b']) assert.ok(mayShow(shown, hosts), shown);
  const strange = [
    'http://cdn.example.com/a.jpg', 'https://cdn.example.com.evil.example/a', 'https://cdn.example.com@evil.example/a',
    'https://pictures.example/b', 'javascript:alert(1)', 'a.jpg', '',
  ];
  for (const url of strange) assert.ok(!mayShow(url, hosts), url);
  assert.ok(!mayShow('https://cdn.example.com/a.jpg', ''));
});

test('a performance has always the same poster, and its neighbour another one', () => {
  assert.deepEqual(posterOf('a', 'opera'), posterOf('a', 'opera'));
  assert.notDeepEqual(posterOf('a', 'opera'), posterOf('b', 'opera'));
  for (const category of ['musical', 'concert', 'opera', 'ballet', 'gugak', null]) {
    for (const { path } of posterOf('a', category).shapes) assert.doesNotMatch(path, /NaN|undefined/);
  }
});

type Words = Record<string, unknown>;

/** The files of words, by their folder. */
const FILES = new URL('../../../api/web/src/words/', import.meta.url);
const FOLDERS = readdirSync(FILES, { recursive: true, withFileTypes: true })
  .filter(({ name }) => name === 'en.ts')
  .map(({ parentPath }) => `${parentPath}/`);
const both = async (folder: string): Promise<[Words, Words]> => {
  const [english, korean] = await Promise.all(['en', 'ko'].map((language) => import(`${folder}${language}.ts`)));
  return [(english as { en: Words }).en, (korean as { ko: Words }).ko];
};

/** Every word by its key, functions called with what `given` says. */
function spelled(words: object, given: () => unknown, prefix = ''): [string, string][] {
  return Object.entries(words).flatMap(([key, value]: [string, unknown]): [string, string][] => {
    if (typeof value === 'string') return [[prefix + key, value]];
    if (typeof value === 'function') return [[prefix + key, String((value as (...of: unknown[]) => unknown)(given(), given(), given(), given()))]];
    return spelled(value as object, given, `${prefix}${key}.`);
  });
}

/** A text that is a number, a problem's facts and whatever else a sentence may be made of. */
const filling = (text: string) => () => Object.assign(new String(text), { limit: text, available: text, toLocaleString: () => text });

test('no word is missing or left in the other language', async () => {
  const same = /^(brand|audit.hash|.*example\..*)$/;
  assert.ok(FOLDERS.length > 10, 'the folders of words are found');
  for (const folder of FOLDERS) {
    const [inEnglish, inKorean] = await both(folder);
    const english = new Map(spelled(inEnglish, filling('1')));
    for (const [key, korean] of spelled(inKorean, filling('1'))) {
      const where = `${folder} ${key}`;
      assert.ok(korean.trim() !== '' || english.get(key) === '', where);
      if (!same.test(key) && /[A-Za-z]{3}/.test(english.get(key) ?? '')) assert.match(korean, /[가-힣]/, where);
    }
    assert.deepEqual([...english.keys()].sort(), spelled(inKorean, filling('1')).map(([key]) => key).sort(), folder);
  }
});

test('no Korean particle that goes by the sound before it follows what nobody knows yet', async () => {
  const glued = /¤(이었|였|이나|이라|으로|로|이|가|을|를|은|는|과|와|나|라)(?=[^가-힣]|$|었|였)/; // 대기열에 는 되지만, 금액을 은 안 된다
  for (const folder of FOLDERS) {
    for (const [key, korean] of spelled((await both(folder))[1], filling('¤'))) assert.doesNotMatch(korean, glued, `${folder} ${key}`);
  }
});

test('a unit that stands in the plan already is said once', async () => {
  for (const folder of FOLDERS) {
    for (const [key, korean] of spelled((await both(folder))[1], filling('가열'))) assert.doesNotMatch(korean, /열열/, `${folder} ${key}`);
    for (const [key, korean] of spelled((await both(folder))[1], filling('3번'))) assert.doesNotMatch(korean, /번번(?!째)/, `${folder} ${key}`);
  }
});

// One thing, one word: what is called on the left was called otherwise on another page.
const CALLED_OTHERWISE = [
  ['대기열', /대기실/], ['배치도', /좌석도에서|좌석 지도/], ['판매 제외', /차단/], ['부분 환불', /일부 환불/], ['시간 초과', /시간 만료/],
  ['저널', /기록(과|이|은|에|까지|에서) (일치|온전|바꾸|맞춥|남은|찾은)/], ['결제사', /결제 대행사/], ['취소', /놓아주|내놓/], ['출입구', /^입구$/], ['1인당 최대', /한 사람이 (살|가질)/],
  ['고객님', /당신/], ['현재', /지금 비밀번호/],
] as const;

test('one thing has one name in Korean on every page', async () => {
  for (const folder of FOLDERS) {
    for (const [key, korean] of spelled((await both(folder))[1], filling('1'))) {
      for (const [name, other] of CALLED_OTHERWISE) assert.doesNotMatch(korean, other, `${folder} ${key} is called ${name}`);
    }
  }
});

test('a browser is called as people call it', () => {
  const says = {
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0 Safari/537.36': 'Chrome, Linux',
    'Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0 Safari/537.36 Edg/153.0': 'Edge, Windows',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/19 Safari/604': 'Safari, iPhone',
    'Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0': 'Firefox, Android',
    'python-httpx/0.28': 'python-httpx',
  };
  for (const [userAgent, name] of Object.entries(says)) assert.equal(clientName(userAgent), name);
});
