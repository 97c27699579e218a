/**
 * Posters drawn from what is known of a performance, for those without a picture: the id gives the colours, the category the
 * motif, so that a poster is always the same and rarely that of its neighbour. Shapes are given in a square of 100.
 */

export interface Shape {
  readonly path: string;
  /** Of white, over the ground. */
  readonly opacity: number;
}

export interface Poster {
  readonly from: string;
  readonly to: string;
  readonly shapes: readonly Shape[];
}

/** The hosts, parted by spaces, from which the operator lets pages show pictures. */
export function picturesFrom(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="pictures-from"]')?.content ?? '';
}

/** Whether a picture is on one of the hosts, parted by spaces, from which the operator lets pages show pictures. */
export function mayShow(picture: string, hosts: string): boolean {
  if (!URL.canParse(picture)) return false;
  const url = new URL(picture);
  return url.protocol === 'https:' && hosts.split(' ').includes(url.host);
}

/** FNV-1a: spreads ids that differ in one character over all hues. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

/** Numbers between 0 and 1, the same ones for the same seed (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const round = (value: number) => Math.round(value * 10) / 10;

type Motif = (roll: () => number) => Shape[];

/** Beams from above: a stage with its lights on. */
const beams: Motif = (roll) =>
  Array.from({ length: 5 }, (_, index) => {
    const top = 10 + index * 20 + roll() * 6;
    const foot = 50 + (top - 50) * -0.6 + (roll() - 0.5) * 40;
    return { path: `M${round(top)} -4L${round(foot - 15)} 104H${round(foot + 15)}Z`, opacity: 0.07 + roll() * 0.1 };
  });

/** Bars of sound. */
const bars: Motif = (roll) =>
  Array.from({ length: 13 }, (_, index) => {
    const height = 14 + roll() * 30 + 26 * Math.sin((index / 12) * Math.PI);
    return { path: `M${round(5 + index * 7)} ${round(92 - height)}h3.6V92h-3.6z`, opacity: 0.16 + roll() * 0.3 };
  });

/** The folds of a curtain, drawn half open. */
const curtain: Motif = (roll) => {
  const open = 14 + roll() * 10;
  return Array.from({ length: 8 }, (_, index) => {
    const left = index < 4;
    const at = left ? index * 11 : 100 - (index - 4) * 11;
    const foot = left ? at - open * (index / 4) : at + open * ((index - 4) / 4);
    const width = left ? 9 : -9;
    const path = `M${round(at)} -2h${width}Q${round(at + width * 1.4)} 55 ${round(foot + width * 0.4)} 102H${round(foot)}Q${round(at)} 55 ${round(at)} -2z`;
    return { path, opacity: 0.1 + roll() * 0.16 };
  });
};

/** Ribbons in a turn. */
const ribbons: Motif = (roll) =>
  Array.from({ length: 6 }, (_, index) => {
    const y = 12 + index * 14 + roll() * 6;
    const swing = 14 + roll() * 16;
    const thick = 3 + roll() * 5;
    const back = round(y + thick);
    const path = `M-4 ${round(y)}C25 ${round(y - swing)} 55 ${round(y + swing)} 104 ${round(y - swing / 2)}V${round(y - swing / 2 + thick)}C55 ${round(back + swing)} 25 ${round(back - swing)} -4 ${back}Z`;
    return { path, opacity: 0.12 + roll() * 0.18 };
  });

/** Hills behind hills, and a moon. */
const hills: Motif = (roll) => {
  const moon = { x: 24 + roll() * 52, y: 22 + roll() * 8, r: 8 + roll() * 4 };
  const disc = `M${round(moon.x - moon.r)} ${round(moon.y)}a${round(moon.r)} ${round(moon.r)} 0 1 0 ${round(2 * moon.r)} 0a${round(moon.r)} ${round(moon.r)} 0 1 0 ${round(-2 * moon.r)} 0z`;
  const ridges = Array.from({ length: 4 }, (_, index) => {
    const y = 44 + index * 13;
    const [a, b, c] = [roll() * 18, roll() * 22, roll() * 18];
    return { path: `M-2 ${round(y + a)}Q18 ${round(y - b)} 40 ${round(y + 4)}T74 ${round(y - c / 3)}T104 ${round(y + c)}V104H-2Z`, opacity: 0.1 + index * 0.05 };
  });
  return [{ path: disc, opacity: 0.55 }, ...ridges];
};

/** Rings, for whatever else there is. */
const rings: Motif = (roll) => {
  const [x, y] = [30 + roll() * 40, 30 + roll() * 40];
  return Array.from({ length: 5 }, (_, index) => {
    const r = 12 + index * 13;
    const ring = (radius: number, sweep: number) =>
      `M${round(x - radius)} ${round(y)}a${radius} ${radius} 0 1 ${sweep} ${2 * radius} 0a${radius} ${radius} 0 1 ${sweep} ${-2 * radius} 0z`;
    return { path: ring(r, 0) + ring(r - 4, 1), opacity: 0.22 - index * 0.03 };
  });
};

const MOTIFS: Readonly<Record<string, Motif>> = { musical: beams, concert: bars, opera: curtain, play: curtain, ballet: ribbons, dance: ribbons, gugak: hills };

const VIOLET = 265;

/** Shadows go towards violet: the other way round they turn green and brown. */
function towardsViolet(hue: number, turn: number): number {
  const apart = ((VIOLET - hue + 540) % 360) - 180;
  return (hue + Math.sign(apart) * Math.min(turn, Math.abs(apart)) + 360) % 360;
}

/** The poster of a performance. Its two colours keep white text on them readable (lightness below 40 %). */
export function posterOf(id: string, category: string | null): Poster {
  const roll = dice(seedOf(id));
  const hue = Math.floor(165 + roll() * 225) % 360; // from sea green by blue and red to amber: olive looks like mud
  const turn = 30 + Math.floor(roll() * 40);
  return {
    from: `hsl(${hue} 48% 36%)`,
    to: `hsl(${towardsViolet(hue, turn)} 55% 20%)`,
    shapes: (MOTIFS[category ?? ''] ?? rings)(roll),
  };
}
