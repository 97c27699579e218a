// What is offered instead of seats that have gone, and instead of leaving somebody a lone seat.
import assert from 'node:assert/strict';
import test from 'node:test';
import { nearest, withoutLoneSeat } from '../../../../api/web/src/seats/house/nearest.ts';
import { houseOf, statesOf } from './houses.ts';

const PRICES = [100, 80, 100];
const priceOf = (category: number) => PRICES[category] ?? null;

/** `?`: a seat that has gone; `m`: mine, kept. Gives the seats offered. */
function offered(rows: readonly string[], states: readonly string[]) {
  const layout = houseOf(rows);
  const text = states.join('').replaceAll(' ', '');
  const at = (letter: string) => [...text].flatMap((each, seat) => (each === letter ? [seat] : []));
  const known = statesOf(layout, text.replaceAll(/[?m]/g, 'h'));
  return nearest(layout, known, at('?'), at('m'), priceOf)?.map((seat) => layout.ids[seat]) ?? null;
}

for (const { what, rows, states, want } of [
  { what: 'the next one in the row', rows: ['aaaaa', 'aaaaa'], states: ['.s?.s', '.....'], want: ['1-4'] },
  { what: 'side by side rather than nearer apart', rows: ['aaaaaa', 'aaaaaa'], states: ['.s??s.', '......'], want: ['2-3', '2-4'] },
  { what: 'near those that are kept', rows: ['aaaaaaaa'], states: ['..s?m..s'], want: ['1-6'] },
  { what: 'the same category rather than a nearer one', rows: ['abbaaa'], states: ['?..s..'], want: ['1-5'] },
  { what: 'another category of the same price', rows: ['abbcc'], states: ['?....'], want: ['1-4'] },
  { what: 'nothing of another price', rows: ['abbbb'], states: ['?....'], want: null },
  { what: 'no block across an aisle', rows: ['aaa aaa', 'aaaaaa'], states: ['??. .ss', '..ssss'], want: ['2-1', '2-2'] },
  { what: 'apart where nowhere is room for all', rows: ['aaaaaa'], states: ['??.s.s'], want: ['1-3', '1-5'] },
  { what: 'nothing where there are too few', rows: ['aaaa'], states: ['??.s'], want: null },
]) {
  test(`instead of seats that have gone: ${what}`, () => {
    const found = offered(rows, states);
    assert.deepEqual(found === null ? null : [...found].sort(), want);
  });
}

/** `m`: mine. Gives where to move to. */
function moved(row: string, states: string) {
  const layout = houseOf([row]);
  const text = states.replaceAll(' ', '');
  const mine = [...text].flatMap((each, seat) => (each === 'm' ? [seat] : []));
  return withoutLoneSeat(layout, statesOf(layout, text.replaceAll('m', 'h')), mine)?.map((seat) => layout.ids[seat]) ?? null;
}

for (const { states, want, row = 'aaaaaa' } of [
  { states: 's.mm..', want: ['1-2', '1-3'] },
  { states: '.mm...', want: ['1-1', '1-2'] },
  { states: '..mm.s', want: ['1-4', '1-5'] },
  { states: 's.mm.s', want: ['1-2', '1-3'] }, // two free seats together instead of one on either side
  { states: '..mm..', want: null },
  { states: 'smms..', want: null },
  { states: '.m.m..', want: null }, // they do not sit together anyway
  { states: '.m .ss', want: null, row: 'aa aaa' }, // of two seats one is left whichever is taken
  { states: '.mm...', want: ['1-3', '1-4'], row: 'baaaaa' }, // to the right: the seat on the left is of another category
  { states: '.mms..', want: null, row: 'baaaaa' },
]) {
  test(`a lone seat beside "${states}" of "${row}" is ${want === null ? 'left, or not there' : 'not left behind'}`, () => {
    assert.deepEqual(moved(row, states), want);
  });
}
