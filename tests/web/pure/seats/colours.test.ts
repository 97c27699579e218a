// Colours that everybody can tell apart, on light and on dark ground.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { apart, contrast, distinct, inkOn, legible, LEAST_CONTRAST, LEAST_DISTANCE } from '../../../../api/web/src/seats/house/colours.ts';

const GROUNDS = { light: '#ffffff', dark: '#1c1c23' };
const PLANS: Record<string, readonly string[]> = {
  'the demo season': ['#8e24aa', '#e53935', '#fb8c00', '#43a047', '#1e88e5', '#00acc1'],
  'red and green': ['#ff0000', '#00ff00', '#cc2200', '#33cc00'],
  'all the same': ['#7b7b7b', '#7b7b7b', '#7b7b7b', '#7b7b7b', '#7b7b7b', '#7b7b7b'],
  'too light and too dark': ['#fffde0', '#ffffff', '#000000', '#101010', '#fafafa'],
  'no colours at all': ['red', '', 'rgb(1,2,3)', '#abc'],
};

for (const [ground, colour] of Object.entries(GROUNDS)) {
  for (const [name, plan] of Object.entries(PLANS)) {
    test(`${name}: told apart by eyes of any kind, and seen on ${ground} ground`, () => {
      const chosen = distinct(plan, colour);
      assert.equal(chosen.length, plan.length);
      chosen.forEach((each, index) => {
        assert.ok(contrast(each, colour) >= LEAST_CONTRAST, `${each} on ${colour}`);
        assert.ok(apart(each, chosen.slice(0, index)) >= LEAST_DISTANCE, `${each} of ${chosen.join(' ')}`);
      });
    });
  }
}

test('a colour that is legible and apart stays what the plan says', () => {
  assert.deepEqual(distinct(['#8e24aa'], '#ffffff'), ['#8e24aa']);
});

test('black and white are as far apart as contrast goes, and each is read on the other', () => {
  assert.equal(Math.round(contrast('#000000', '#ffffff')), 21);
  assert.equal(inkOn('#ffffff'), '#000000');
  assert.equal(inkOn('#12124a'), '#ffffff');
});

test('more contrast is had where more is asked for', () => {
  assert.ok(contrast(legible('#fb8c00', '#ffffff', 4.5), '#ffffff') >= 4.5);
});

test('the grounds tested here are those of the pages', () => {
  const tokens = readFileSync(new URL('../../../../api/web/src/look/tokens.css', import.meta.url), 'utf8');
  assert.ok(tokens.includes(`--surface: light-dark(${GROUNDS.light}, ${GROUNDS.dark})`));
});
