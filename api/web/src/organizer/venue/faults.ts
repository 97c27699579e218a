/** Where in a seating plan something is wrong, in the plan's own names: `zones[0].rows[2].seats[4]` → Stalls, row C, seat 5. */

export interface Place {
  readonly zone: string | null;
  readonly row: string | null;
  readonly seat: string | null;
  /** As the document's author finds it: the whole path. */
  readonly path: string;
}

const BEGINNING = /^seating_plan\.?/;
const NAMES: Record<string, readonly string[]> = {
  zones: ['name', 'zone_id'],
  rows: ['row_label', 'row_number'],
  seats: ['seat_label', 'seat_number', 'seat_guid'],
  general_admission: ['name', 'guid'],
};

export function placeOf(field: string, document: unknown): Place {
  const path = field.replace(BEGINNING, '');
  const found: Record<string, string> = {};
  let node: unknown = document;
  for (const [, list = '', at = ''] of path.matchAll(/(\w+)\[(\d+)\]/g)) {
    node = member(member(node, list), at);
    found[list] = nameOf(list, node) ?? `#${Number(at) + 1}`;
  }
  return { zone: found['zones'] ?? null, row: found['rows'] ?? null, seat: found['seats'] ?? found['general_admission'] ?? null, path };
}

function nameOf(list: string, node: unknown): string | null {
  for (const key of NAMES[list] ?? []) {
    const value = member(node, key);
    if (typeof value === 'number') return String(value);
    // `%s` stands for the number, as in pretix.
    if (typeof value === 'string' && value !== '' && !value.includes('%s')) return value;
  }
  return null;
}

function member(node: unknown, key: string): unknown {
  return typeof node === 'object' && node !== null ? (node as Record<string, unknown>)[key] : undefined;
}
