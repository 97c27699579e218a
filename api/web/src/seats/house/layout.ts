/**
 * A house as it is drawn and searched: the columns of `GET …/layout`, decoded once.
 *
 * Seats are numbers 0…size-1 in the layout's order, everywhere in this folder; standing areas have numbers of their own. A
 * row's seats follow one another, and so do a run's: seats of one run sit side by side without an aisle between them.
 * Lengths are the layout's steps, 25 from a seat to its neighbour.
 */

export const PITCH = 25;

/** What `GET …/layout` answers. */
export interface LayoutDocument {
  readonly digest: string;
  readonly name: string;
  readonly bounds: readonly number[];
  readonly stage: readonly number[];
  readonly categories: readonly { readonly name: string; readonly color: string }[];
  readonly zones: readonly { readonly id: string; readonly name: string }[];
  readonly floors: readonly { readonly name: string; readonly zones: readonly number[] }[];
  readonly rows: { readonly zone: readonly number[]; readonly label: readonly string[]; readonly count: readonly number[] };
  readonly runs: readonly number[];
  readonly seats: {
    readonly id: readonly string[];
    readonly number: readonly string[];
    readonly category: readonly number[];
    readonly x: readonly number[];
    readonly y: readonly number[];
  };
  readonly areas: readonly {
    readonly id: string;
    readonly name: string;
    readonly zone: number;
    readonly category: number;
    readonly capacity: number;
    readonly box: readonly number[];
  }[];
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Seats that follow one another: `first` to `first + count - 1`. */
export interface Stretch {
  readonly first: number;
  readonly count: number;
}

export interface Row extends Stretch {
  readonly zone: number;
  readonly label: string;
}

export interface Zone extends Stretch {
  readonly id: string;
  readonly name: string;
  readonly rows: readonly Row[];
  readonly areas: readonly number[];
  readonly box: Box;
}

export interface Area {
  readonly id: string;
  readonly name: string;
  readonly zone: number;
  readonly category: number;
  readonly capacity: number;
  readonly box: Box;
}

export interface Floor {
  readonly name: string;
  readonly zones: readonly number[];
  readonly box: Box;
}

export interface Layout {
  readonly digest: string;
  readonly name: string;
  readonly size: number;
  readonly bounds: Box;
  readonly stage: Box;
  readonly categories: LayoutDocument['categories'];
  readonly zones: readonly Zone[];
  readonly floors: readonly Floor[];
  readonly rows: readonly Row[];
  readonly runs: readonly Stretch[];
  readonly areas: readonly Area[];
  readonly ids: readonly string[];
  readonly numbers: readonly string[];
  readonly categoryOf: Uint8Array;
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly rowOf: Uint32Array;
  readonly runOf: Uint32Array;
  /** A seat's number by its id. */
  readonly seatOf: ReadonlyMap<string, number>;
  /** A standing area's number by its id. */
  readonly areaOf: ReadonlyMap<string, number>;
}

export function decodeLayout(document: LayoutDocument): Layout {
  const { seats, rows: columns } = document;
  const size = seats.id.length;
  const x = summed(seats.x);
  const y = summed(seats.y);
  const rows = stretches(columns.count).map((stretch, index) => ({
    ...stretch,
    zone: columns.zone[index] ?? 0,
    label: columns.label[index] ?? '',
  }));
  const runs = stretches(document.runs);
  const areas = document.areas.map((area) => ({ ...area, box: boxOf(area.box) }));
  const zones = document.zones.map((zone, number) => zoneOf(zone, number, rows, areas, x, y));
  return {
    digest: document.digest,
    name: document.name,
    size,
    bounds: boxOf(document.bounds),
    stage: boxOf(document.stage),
    categories: document.categories,
    zones,
    floors: document.floors.map(({ name, zones: numbers }) => ({
      name,
      zones: numbers,
      box: around(numbers.flatMap((number) => zones[number]?.box ?? [])),
    })),
    rows,
    runs,
    areas,
    ids: seats.id,
    numbers: seats.number,
    categoryOf: Uint8Array.from(seats.category),
    x,
    y,
    rowOf: numbered(rows, size),
    runOf: numbered(runs, size),
    seatOf: new Map(seats.id.map((id, index) => [id, index])),
    areaOf: new Map(areas.map((area, index) => [area.id, index])),
  };
}

/** The row a seat is in. */
export function rowAt(layout: Layout, seat: number): Row {
  return layout.rows[layout.rowOf[seat] ?? 0] ?? { first: 0, count: 0, zone: 0, label: '' };
}

/** The smallest box around all of these; one without extent where there are none. */
export function around(boxes: readonly Box[]): Box {
  const first = boxes[0] ?? { left: 0, top: 0, right: 0, bottom: 0 };
  return boxes.reduce(
    (all, box) => ({
      left: Math.min(all.left, box.left),
      top: Math.min(all.top, box.top),
      right: Math.max(all.right, box.right),
      bottom: Math.max(all.bottom, box.bottom),
    }),
    first,
  );
}

function summed(steps: readonly number[]): Float32Array {
  let at = 0;
  return Float32Array.from(steps, (step) => (at += step));
}

function stretches(counts: readonly number[]): Stretch[] {
  let next = 0;
  return counts.map((count) => {
    const first = next;
    next += count;
    return { first, count };
  });
}

/** For each seat the number of the stretch that it is in. */
function numbered(parts: readonly Stretch[], size: number): Uint32Array {
  const numbers = new Uint32Array(size);
  parts.forEach(({ first, count }, number) => numbers.fill(number, first, first + count));
  return numbers;
}

function boxOf([left = 0, top = 0, right = 0, bottom = 0]: readonly number[]): Box {
  return { left, top, right, bottom };
}

function zoneOf(
  { id, name }: LayoutDocument['zones'][number],
  number: number,
  allRows: readonly Row[],
  allAreas: readonly Area[],
  x: Float32Array,
  y: Float32Array,
): Zone {
  const rows = allRows.filter((row) => row.zone === number);
  const areas = allAreas.flatMap((area, index) => (area.zone === number ? [index] : []));
  const first = rows[0]?.first ?? 0;
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  const boxes = areas.flatMap((index) => allAreas[index]?.box ?? []);
  for (let seat = first; seat < first + count; seat += 1) {
    const at = { x: x[seat] ?? 0, y: y[seat] ?? 0 };
    boxes.push({ left: at.x - PITCH / 2, top: at.y - PITCH / 2, right: at.x + PITCH / 2, bottom: at.y + PITCH / 2 });
  }
  return { id, name, rows, areas, first, count, box: around(boxes) };
}
