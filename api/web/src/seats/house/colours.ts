/**
 * Colours for the categories of a house: the plan's own, as far as everybody can tell them apart.
 *
 * A colour is made darker or lighter until it has 3:1 against the ground (WCAG 2.2, 1.4.11), and is replaced where it comes
 * too close to one before it, for eyes of any kind: the three dichromacies are simulated by the matrices of Machado, Oliveira
 * and Fernandes (2009), and distances measured in Oklab (Ottosson 2020).
 */

const MIDDLE = 0.18; // the luminance that has the same contrast to black as to white

type Triple = readonly [number, number, number];

export const LEAST_CONTRAST = 3;
/** In Oklab, where black and white are 1 apart; two dots of a map are told apart from here on. */
export const LEAST_DISTANCE = 0.085;

/** What the eye sees, in linear RGB: everybody, then protanopia, deuteranopia, tritanopia. */
const EYES: readonly (readonly [Triple, Triple, Triple])[] = [
  [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
];

/** What takes the place of a colour that comes too close; apart in lightness as well as in hue. */
const RESERVE: readonly string[] = [
  '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#5b2a86', '#7a1f2b', '#1b4d2e', '#8a6d00', '#3d3d8f',
  '#f0e442', '#a6761d', '#222255', '#ff9da7', '#00c2c7',
];

/** What one's own seats are drawn in: no category may look like that. */
const OWN = { onLight: '#1b1a20', onDark: '#f2f1f4' };

/** A colour for each of the plan's, all with contrast to `ground`, and apart from one another while there are such. */
export function distinct(plan: readonly string[], ground: string): string[] {
  const chosen = [luminance(ground) > MIDDLE ? OWN.onLight : OWN.onDark];
  for (const colour of plan) {
    const own = legible(colour, ground);
    chosen.push(apart(own, chosen) >= LEAST_DISTANCE ? own : farthest(chosen, ground));
  }
  return chosen.slice(1);
}

function farthest(chosen: readonly string[], ground: string): string {
  const candidates = RESERVE.flatMap((colour) => [colour, mixed(colour, '#000000', 0.35), mixed(colour, '#ffffff', 0.35)]);
  const legibles = candidates.map((colour) => legible(colour, ground));
  return legibles.reduce((best, colour) => (apart(colour, chosen) > apart(best, chosen) ? colour : best));
}

/** The smallest distance to any of them, to the eye that sees it smallest. */
export function apart(colour: string, others: readonly string[]): number {
  return Math.min(Infinity, ...others.flatMap((other) => EYES.map((eye) => distance(seenBy(colour, eye), seenBy(other, eye)))));
}

/** The colour, as much darker or lighter as it takes to have contrast to the ground. */
export function legible(colour: string, ground: string, least: number = LEAST_CONTRAST): string {
  const towards = luminance(ground) > MIDDLE ? '#000000' : '#ffffff';
  for (let share = 0; share < 1; share += 0.04) {
    const mixture = mixed(colour, towards, share);
    if (contrast(mixture, ground) >= least) return mixture;
  }
  return towards;
}

/** Black or white, whichever is better read on the colour. */
export function inkOn(colour: string): string {
  return contrast(colour, '#000000') >= contrast(colour, '#ffffff') ? '#000000' : '#ffffff';
}

/** From 1 to 21 (WCAG 2.2). */
export function contrast(one: string, other: string): number {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

export function mixed(colour: string, other: string, share: number): string {
  const [a, b] = [linear(colour), linear(other)];
  return hex([0, 1, 2].map((i) => (a[i] ?? 0) * (1 - share) + (b[i] ?? 0) * share));
}

function luminance(colour: string): number {
  const [red, green, blue] = linear(colour);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** `#rgb`, `#rrggbb` or anything longer, as light; what cannot be read is a middle grey. */
function linear(colour: string): Triple {
  const digits = /^#([0-9a-f]{3,8})$/i.exec(colour.trim())?.[1] ?? '777777';
  const long = digits.length < 6 ? [...digits].map((digit) => digit + digit).join('') : digits;
  const channel = (at: number) => {
    const value = Number.parseInt(long.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(0), channel(2), channel(4)];
}

function hex(light: readonly number[]): string {
  const channel = (value: number) => {
    const bounded = Math.min(1, Math.max(0, value));
    const encoded = bounded <= 0.0031308 ? bounded * 12.92 : 1.055 * bounded ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255).toString(16).padStart(2, '0');
  };
  return `#${light.map(channel).join('')}`;
}

function seenBy(colour: string, [r, g, b]: readonly [Triple, Triple, Triple]): Triple {
  const light = linear(colour);
  const through = (row: Triple) => Math.min(1, Math.max(0, row[0] * light[0] + row[1] * light[1] + row[2] * light[2]));
  return [through(r), through(g), through(b)];
}

function distance(one: Triple, other: Triple): number {
  const [a, b] = [oklab(one), oklab(other)];
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function oklab([r, g, b]: Triple): Triple {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}
