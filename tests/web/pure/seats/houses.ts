// Small houses to test in: rows of seats side by side, two categories, an aisle where it is asked for.
import { PITCH, decodeLayout, type Layout, type LayoutDocument } from '../../../../api/web/src/seats/house/layout.ts';
import type { Snapshot } from '../../../../api/web/src/seats/house/states.ts';
import { States } from '../../../../api/web/src/seats/house/states.ts';

/** Rows of a house as text: a letter a seat, its category, and a space for an aisle: `['aa bb', 'aaaa']`. */
export function houseOf(rows: readonly string[], options: { zoneOfRow?: number[]; standing?: number } = {}): Layout {
  return decodeLayout(documentOf(rows, options));
}

export function documentOf(rows: readonly string[], { zoneOfRow = [], standing = 0 }: { zoneOfRow?: number[]; standing?: number } = {}): LayoutDocument {
  const zones = Math.max(1, ...zoneOfRow.map((zone) => zone + 1)) + Number(standing > 0);
  const seats = rows.flatMap((row, r) => [...row].flatMap((letter, c) => (letter === ' ' ? [] : [{ r, c, letter }])));
  const xs = seats.map(({ c }) => c * PITCH);
  const ys = seats.map(({ r }) => r * PITCH * 2);
  const steps = (values: number[]) => values.map((value, index) => value - (values[index - 1] ?? 0));
  const bottom = rows.length * PITCH * 2;
  return {
    digest: 'd',
    name: 'House',
    bounds: [0, -100, Math.max(0, ...xs), bottom + 100],
    stage: [0, -100, 100, -50],
    categories: [
      { name: 'A', color: '#e53935' },
      { name: 'B', color: '#1e88e5' },
      { name: 'C', color: '#43a047' },
    ],
    zones: Array.from({ length: zones }, (_, index) => ({ id: `z${index}`, name: `Zone ${index}` })),
    floors: [],
    rows: {
      zone: rows.map((_, index) => zoneOfRow[index] ?? 0),
      label: rows.map((_, index) => String(index + 1)),
      count: rows.map((row) => row.replaceAll(' ', '').length),
    },
    runs: rows.flatMap((row) => row.split(' ').map((run) => run.length)),
    seats: {
      id: seats.map(({ r, c }) => `${r + 1}-${c + 1}`),
      number: seats.map(({ c }) => String(c + 1)),
      category: seats.map(({ letter }) => letter.charCodeAt(0) - 'a'.charCodeAt(0)),
      x: steps(xs),
      y: steps(ys),
    },
    areas: standing === 0 ? [] : [{ id: 'floor', name: 'Floor', zone: zones - 1, category: 2, capacity: standing, box: [0, bottom, 100, bottom + 100] }],
  };
}

/** States from text, a letter a seat: `.` free, `h` held, `s` sold, `b` blocked. */
export function statesOf(layout: Layout, text: string, version = 1, areas: readonly (readonly number[])[] = []): States {
  const states = new States(layout);
  states.replace(snapshotOf(text, version, areas));
  return states;
}

export function snapshotOf(text: string, version: number, areas: readonly (readonly number[])[] = []): Snapshot {
  const bytes = new Uint8Array(Math.ceil(text.replaceAll(' ', '').length / 4));
  [...text.replaceAll(' ', '')].forEach((letter, seat) => {
    bytes[seat >> 2] = (bytes[seat >> 2] ?? 0) | ('.hsb'.indexOf(letter) << (2 * (seat & 3)));
  });
  return { version, seats: btoa(String.fromCharCode(...bytes)), areas };
}
