/**
 * A seating plan without a file: blocks of rows one behind the other, and standing room before the stage.
 *
 * Gives a document in the pretix seating-plan format, as a file would have it. Rows and seats are numbered from the stage and
 * from the left, each block anew; ids tell block, row and seat. What cannot be read as a number counts as none.
 */

export interface Part {
  readonly key: number;
  kind: 'rows' | 'standing';
  name: string;
  category: string;
  rows: string;
  seats: string;
  /** A way through the middle of each row. */
  aisle: boolean;
  places: string;
}

export interface PlanDocument {
  readonly [name: string]: unknown;
}

/** What a part may have at most: more is drawn with an editor of plans. */
export const MOST = { rows: 100, seats: 200, places: 50_000 };

const SEAT = 30; // pixels from a seat to its neighbour
const ROW = 36;
const AISLE = 2; // seats' distances: what a reader of plans takes for a way through
const BETWEEN = 2; // rows' distances between two blocks
const STAGE = { width: 10 * SEAT, height: 2 * ROW };
const FLOOR = 8; // rows' distances before the stage, where people stand
/** Apart to eyes of any kind, and from the ground. */
export const COLOURS = ['#c92a2a', '#1c7ed6', '#b8860b', '#4a148c', '#0b7285', '#880e4f', '#868e96'];

/** A whole number from 1 to `most`; 0 where the text is none. */
export function count(text: string, most: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : 0;
  return value <= most ? value : 0;
}

export function placesOf(part: Part): number {
  return part.kind === 'standing' ? count(part.places, MOST.places) : count(part.rows, MOST.rows) * count(part.seats, MOST.seats);
}

/** Whether a plan can be made: something to sell, and every part named and counted. */
export function isComplete(parts: readonly Part[]): boolean {
  return parts.length > 0 && parts.every((part) => placesOf(part) > 0 && part.name.trim() !== '' && part.category.trim() !== '');
}

/** The plan, without a name of its own: whoever saves it says what the place is called, and a fault in that is none of the plan's. */
export function planOf(parts: readonly Part[], stage: string): PlanDocument {
  const names = distinctNames(parts);
  const seated = parts.flatMap((part, index) => (part.kind === 'rows' ? [{ part, name: names[index] ?? '' }] : []));
  const widest = Math.max(STAGE.width, ...seated.map(({ part }) => widthOf(part)));
  let top = STAGE.height + BETWEEN * ROW + (seated.length < parts.length ? FLOOR * ROW : 0);
  const zones: PlanDocument[] = [];
  for (const { part, name } of seated) {
    const left = (widest - widthOf(part)) / 2;
    zones.push({ zone_id: name, name: part.name.trim(), position: { x: left, y: top }, rows: rowsOf(part, name) });
    top += (count(part.rows, MOST.rows) + BETWEEN) * ROW;
  }
  const standing = parts.flatMap((part, index) => (part.kind === 'standing' ? [areaOf(part, names[index] ?? '')] : []));
  if (standing.length > 0) zones.push({ zone_id: 'standing', name: standing[0]?.name ?? '', position: { x: 0, y: 0 }, general_admission: standing });
  const [front = {}, ...others] = zones;
  return {
    name: '—',
    size: { width: widest, height: top },
    categories: categoriesOf(parts).map((each, index) => ({ name: each, color: COLOURS[index % COLOURS.length] })),
    zones: [{ ...front, areas: [stageOf(front, widest, stage)] }, ...others],
  };
}

/** The categories in the order in which they first occur. */
export function categoriesOf(parts: readonly Part[]): string[] {
  return [...new Set(parts.map((part) => part.category.trim()))];
}

/** Part names as ids: the second of the same name is told from the first. */
function distinctNames(parts: readonly Part[]): string[] {
  const seen = new Map<string, number>();
  return parts.map((part) => {
    const name = part.name.trim();
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    return nth === 1 ? name : `${name} (${nth})`;
  });
}

function widthOf(part: Part): number {
  const seats = count(part.seats, MOST.seats);
  return Math.max(0, seats - 1 + (hasAisle(part) ? AISLE - 1 : 0)) * SEAT;
}

function hasAisle(part: Part): boolean {
  return part.aisle && count(part.seats, MOST.seats) > 3;
}

function rowsOf(part: Part, name: string): PlanDocument[] {
  const seats = count(part.seats, MOST.seats);
  const half = hasAisle(part) ? Math.ceil(seats / 2) : seats;
  return Array.from({ length: count(part.rows, MOST.rows) }, (_, row) => ({
    row_number: String(row + 1),
    position: { x: 0, y: row * ROW },
    seats: Array.from({ length: seats }, (_, seat) => ({
      seat_guid: `${name}-${row + 1}-${seat + 1}`,
      seat_number: String(seat + 1),
      position: { x: (seat + (seat >= half ? AISLE - 1 : 0)) * SEAT, y: 0 },
      category: part.category.trim(),
    })),
  }));
}

function areaOf(part: Part, name: string) {
  return { guid: name, name: part.name.trim(), category: part.category.trim(), capacity: count(part.places, MOST.places) };
}

/** The stage as a drawing, before the middle. Drawings lie within a zone, and from there. */
function stageOf(zone: PlanDocument, widest: number, text: string): PlanDocument {
  const from = (zone['position'] ?? { x: 0, y: 0 }) as { x: number; y: number };
  return {
    shape: 'rectangle',
    position: { x: (widest - STAGE.width) / 2 - from.x, y: -from.y },
    rectangle: STAGE,
    color: '#cccccc',
    text: { text, position: { x: STAGE.width / 2, y: STAGE.height / 2 } },
  };
}
