/**
 * Draws a house on a canvas: sections, seats, standing room. Knows nothing of the network, nor of how it comes to be looked at.
 *
 * Colour is never alone: a free seat is filled, one held by others hollow, a sold one a grey cross, a blocked one barred, one's own
 * dark with a tick and a ring. Seats are squares while they are dots (15,000 circles take ten times as long), circles from the level `section` on.
 */

import { inkOn, mixed } from '../house/colours.ts';
import { type Camera, levelOf, pitchOf, seen, type Size, toScreen } from '../house/camera.ts';
import type { Grid } from '../house/grid.ts';
import { type Box, type Layout, PITCH, type Zone } from '../house/layout.ts';
import { FREE, HELD, SOLD, type States } from '../house/states.ts';

/** A category's colour and what goes with it, mixed beforehand: it is needed for thousands of seats at a time. */
export interface Paint {
  readonly fill: string;
  readonly ink: string;
  /** While other prices are looked at. */
  readonly faint: string;
  readonly held: string;
}

/** What things look like; colours as `#rrggbb`. */
export interface Look {
  readonly ground: string;
  readonly raised: string;
  readonly line: string;
  readonly strong: string;
  readonly ink: string;
  readonly soft: string;
  readonly accent: string;
  readonly font: string;
  readonly paints: readonly Paint[];
}

export function paintOf(colour: string, raised: string): Paint {
  return { fill: colour, ink: inkOn(colour), faint: mixed(raised, colour, 0.22), held: mixed(raised, colour, 0.35) };
}

/** A house and what is to be seen of it. */
export interface Scene {
  readonly layout: Layout;
  readonly grid: Grid;
  readonly states: States;
  readonly look: Look;
  /** Whether places of the category are shown, or stand back. */
  isShown(category: number): boolean;
  isForSale(category: number): boolean;
  /** Whether what is blocked is told from what is sold. */
  readonly tellsBlocked: boolean;
  /** What is written on a section: its name, then what there is to have in it. */
  label(zone: number): readonly string[];
  areaLabel(area: number): readonly string[];
  readonly stage: string;
}

/** Seats that are more than free or taken. */
export interface Marks {
  readonly mine: readonly number[];
  readonly wished: readonly number[];
  readonly offered: readonly number[];
  /** What something is about to be done with: perhaps thousands. */
  readonly chosen: readonly number[];
  readonly pointed: number | null;
}

type Brush = CanvasRenderingContext2D;

const ROUND = Math.PI * 2;
const DOT = 0.74; // of the distance to the neighbour
const COVERED = 0.65; // of a section's height, at most, by what is written on it
const DISC = 0.43;
const CLEARED = 0.49; // what is drawn over: not as far as the neighbour's disc, whichever way the row runs

/** The house itself: stage, sections, standing room and seats. */
export function drawHouse(brush: Brush, camera: Camera, view: Size, scene: Scene): void {
  const { look, layout } = scene;
  brush.fillStyle = look.ground;
  brush.fillRect(0, 0, view.width, view.height);
  drawStage(brush, camera, scene);
  for (const zone of layout.zones) drawSection(brush, camera, zone, scene);
  drawAreas(brush, camera, scene);
  const part = seen(camera, view, pitchOf(camera));
  scene.grid.within(part, (seat) => drawSeat(brush, camera, seat, scene));
  if (levelOf(camera) !== 'house') drawRowLabels(brush, camera, part, scene);
}

/** What stands over the house and changes with it: marks, and names with what is left. */
export function drawOver(brush: Brush, camera: Camera, view: Size, marks: Marks, scene: Scene): void {
  brush.clearRect(0, 0, view.width, view.height);
  const { layout, look } = scene;
  const written: OnScreen[] = [];
  layout.areas.forEach(({ box }, area) => writeLines(brush, scene.areaLabel(area), onScreen(camera, box), look, written));
  if (levelOf(camera) === 'house') {
    for (const [zone, { box, count }] of layout.zones.entries()) {
      const place = onScreen(camera, box);
      if (count > 0 && isWithin(place, view)) writeLines(brush, scene.label(zone), place, look, written);
    }
  }
  drawMarks(brush, camera, marks, scene);
}

/** One seat as it stands; `over` what was drawn there before. */
export function drawSeat(brush: Brush, camera: Camera, seat: number, scene: Scene, over = false): void {
  const { layout, states, look } = scene;
  const category = layout.categoryOf[seat] ?? 0;
  const paint = look.paints[category];
  if (paint === undefined) return;
  const state = states.seats[seat] ?? FREE;
  const x = camera.scale * (layout.x[seat] ?? 0) + camera.x;
  const y = camera.scale * (layout.y[seat] ?? 0) + camera.y;
  const pitch = pitchOf(camera);
  const kind = kindOf(state, category, scene);
  const shown = scene.isShown(category);
  if (levelOf(camera) === 'house') {
    const free = shown ? paint.fill : paint.faint;
    const colour = { free, held: paint.held, taken: look.line, blocked: look.strong }[kind];
    drawDot(brush, x, y, pitch, colour, kind === 'free' || kind === 'blocked', look, over);
  } else {
    if (over) disc(brush, { x, y }, pitch * CLEARED, look.raised);
    if (kind === 'free') {
      disc(brush, { x, y }, pitch * DISC, shown ? paint.fill : paint.faint);
      if (levelOf(camera) === 'seats') drawNumber(brush, layout.numbers[seat] ?? '', x, y, pitch, shown ? paint.ink : look.soft, look);
    } else if (kind === 'held') drawHollow(brush, x, y, pitch, look);
    else if (kind === 'taken') drawCross(brush, x, y, pitch, look);
    else drawBar(brush, x, y, pitch, look);
  }
}

function kindOf(state: number, category: number, scene: Scene): 'free' | 'held' | 'taken' | 'blocked' {
  if (state === FREE && scene.isForSale(category)) return 'free';
  if (state === HELD) return 'held';
  return state !== SOLD && scene.tellsBlocked ? 'blocked' : 'taken'; // blocked, or not for sale: nobody has it
}

function drawDot(brush: Brush, x: number, y: number, pitch: number, colour: string, full: boolean, look: Look, over: boolean): void {
  const whole = Math.max(1, Math.round(pitch * DOT));
  if (over) square(brush, x, y, whole, look.raised);
  square(brush, x, y, full || whole <= 2 ? whole : Math.max(1, Math.round(whole * 0.5)), colour);
}

function square(brush: Brush, x: number, y: number, size: number, colour: string): void {
  brush.fillStyle = colour;
  brush.fillRect(Math.round(x - size / 2), Math.round(y - size / 2), size, size);
}

function drawNumber(brush: Brush, text: string, x: number, y: number, pitch: number, colour: string, look: Look): void {
  const size = Math.round(Math.min(pitch * 0.42, (pitch * 1.1) / Math.max(2, text.length)));
  write(brush, text, x, y, colour, `600 ${size}px ${look.font}`);
}

function drawHollow(brush: Brush, x: number, y: number, pitch: number, look: Look): void {
  brush.beginPath();
  brush.arc(x, y, pitch * DISC - 0.75, 0, ROUND);
  brush.lineWidth = 1.5;
  brush.strokeStyle = look.soft;
  brush.stroke();
}

function drawCross(brush: Brush, x: number, y: number, pitch: number, look: Look): void {
  const arm = pitch * 0.17;
  brush.lineWidth = Math.max(1, pitch * 0.06);
  brush.strokeStyle = look.strong;
  brush.beginPath();
  brush.moveTo(x - arm, y - arm);
  brush.lineTo(x + arm, y + arm);
  brush.moveTo(x + arm, y - arm);
  brush.lineTo(x - arm, y + arm);
  brush.stroke();
}

/** No entry: a disc with a bar. */
function drawBar(brush: Brush, x: number, y: number, pitch: number, look: Look): void {
  disc(brush, { x, y }, pitch * DISC, look.line);
  brush.fillStyle = look.ink;
  brush.fillRect(x - pitch * 0.24, y - pitch * 0.06, pitch * 0.48, pitch * 0.12);
}

/** What is one's own, wanted, offered or pointed at. On dots the marks are as large as a fingertip can find. */
function drawMarks(brush: Brush, camera: Camera, marks: Marks, scene: Scene): void {
  const pitch = pitchOf(camera);
  const radius = Math.max(levelOf(camera) === 'house' ? 5 : 0, pitch * DISC);
  const { look, layout } = scene;
  const at = (seat: number) => toScreen(camera, { x: layout.x[seat] ?? 0, y: layout.y[seat] ?? 0 });
  drawChosen(brush, camera, marks.chosen, scene);
  for (const seat of marks.offered) ring(brush, at(seat), radius + 2, look.ground, look.accent, [3, 3]);
  for (const seat of marks.wished) {
    disc(brush, at(seat), radius, mixed(look.ground, look.ink, 0.35));
    ring(brush, at(seat), radius + 2, look.ground, look.ink, [2, 2]);
  }
  for (const seat of marks.mine) {
    disc(brush, at(seat), radius, look.ink);
    ring(brush, at(seat), radius + 2, look.ground, look.accent, []);
    tick(brush, at(seat), radius, look.ground);
  }
  if (marks.pointed !== null) ring(brush, at(marks.pointed), radius + 2, look.ground, look.ink, []);
}

/** Dots in the accent's colour, as large as there is room for: thousands at a time. */
function drawChosen(brush: Brush, camera: Camera, chosen: readonly number[], { look, layout }: Scene): void {
  const size = Math.max(3, Math.round(pitchOf(camera) * 0.9));
  const dots = levelOf(camera) === 'house';
  for (const seat of chosen) {
    const at = toScreen(camera, { x: layout.x[seat] ?? 0, y: layout.y[seat] ?? 0 });
    if (dots) square(brush, at.x, at.y, size, look.accent);
    else ring(brush, at, pitchOf(camera) * DISC, look.ground, look.accent, []);
  }
}

function disc(brush: Brush, { x, y }: { x: number; y: number }, radius: number, colour: string): void {
  brush.beginPath();
  brush.arc(x, y, radius, 0, ROUND);
  brush.fillStyle = colour;
  brush.fill();
}

function ring(brush: Brush, { x, y }: { x: number; y: number }, radius: number, ground: string, colour: string, dashes: number[]): void {
  brush.beginPath();
  brush.arc(x, y, radius, 0, ROUND);
  brush.setLineDash([]);
  brush.lineWidth = 5;
  brush.strokeStyle = ground;
  brush.stroke();
  brush.setLineDash(dashes);
  brush.lineWidth = 2.5;
  brush.strokeStyle = colour;
  brush.stroke();
  brush.setLineDash([]);
}

function tick(brush: Brush, { x, y }: { x: number; y: number }, radius: number, colour: string): void {
  brush.beginPath();
  brush.moveTo(x - radius * 0.45, y + radius * 0.02);
  brush.lineTo(x - radius * 0.1, y + radius * 0.38);
  brush.lineTo(x + radius * 0.5, y - radius * 0.35);
  brush.lineWidth = Math.max(1.5, radius * 0.2);
  brush.strokeStyle = colour;
  brush.stroke();
}

// --- around the seats ---------------------------------------------------------------------------------------------------
function drawStage(brush: Brush, camera: Camera, { layout, look, stage }: Scene): void {
  const box = onScreen(camera, layout.stage);
  if (box.width < 1 || box.height < 1) return;
  brush.fillStyle = look.line;
  brush.beginPath();
  brush.roundRect(box.left, box.top, box.width, box.height, 6);
  brush.fill();
  const size = Math.round(Math.min(18, box.height * 0.5, box.width / 4));
  if (size >= 8) write(brush, stage, box.left + box.width / 2, box.top + box.height / 2, look.ink, `600 ${size}px ${look.font}`);
}

/** A section's shape is that of its rows, each as broad as it is deep: exact for any form a house may have. */
export function drawSection(brush: Brush, camera: Camera, zone: Zone, scene: Scene): void {
  const { layout, look } = scene;
  if (zone.count === 0) return;
  const path = rowsOf(zone, layout, camera);
  brush.lineJoin = 'round';
  brush.lineCap = 'round';
  const broad = depthOf(zone, layout) * camera.scale;
  for (const [colour, width] of [[look.line, broad + 1.5], [look.raised, broad]] as const) {
    brush.lineWidth = width;
    brush.strokeStyle = colour;
    brush.stroke(path);
  }
}

function rowsOf(zone: Zone, layout: Layout, camera: Camera): Path2D {
  const path = new Path2D();
  for (const row of zone.rows) {
    for (let seat = row.first; seat < row.first + row.count; seat += 1) {
      const { x, y } = toScreen(camera, { x: layout.x[seat] ?? 0, y: layout.y[seat] ?? 0 });
      if (seat === row.first || layout.runOf[seat] !== layout.runOf[seat - 1]) path.moveTo(x - 0.01, y);
      path.lineTo(x, y);
    }
  }
  return path;
}

/** How far apart a section's rows are, as a rule. */
function depthOf(zone: Zone, layout: Layout): number {
  const [one, other] = [zone.rows[0], zone.rows[1]];
  if (one === undefined || other === undefined) return 1.4 * PITCH;
  const [a, b] = [one.first, other.first];
  const apart = Math.hypot((layout.x[a] ?? 0) - (layout.x[b] ?? 0), (layout.y[a] ?? 0) - (layout.y[b] ?? 0));
  return Math.min(3 * PITCH, Math.max(1.1 * PITCH, apart + 2));
}

export function drawAreas(brush: Brush, camera: Camera, scene: Scene): void {
  scene.layout.areas.forEach((_, area) => drawArea(brush, camera, area, scene));
}

function drawArea(brush: Brush, camera: Camera, number: number, scene: Scene): void {
  const { layout, look, states } = scene;
  const area = layout.areas[number];
  if (area === undefined) return;
  const box = onScreen(camera, area.box);
  const colour = look.paints[area.category]?.fill ?? look.soft;
  const share = area.capacity === 0 ? 0 : states.freeInArea(number) / area.capacity;
  brush.save();
  brush.beginPath();
  brush.roundRect(box.left, box.top, box.width, box.height, Math.min(10, box.width / 8));
  brush.clip();
  brush.fillStyle = look.raised;
  brush.fillRect(box.left, box.top, box.width, box.height);
  // As full as it is: what is left stands as a level.
  brush.fillStyle = mixed(look.raised, colour, scene.isShown(area.category) ? 0.4 : 0.12);
  brush.fillRect(box.left, box.top + box.height * (1 - share), box.width, box.height * share);
  brush.restore();
  brush.lineWidth = 2;
  brush.strokeStyle = scene.isShown(area.category) ? colour : look.line;
  brush.stroke();
}

/**
 * As many of the lines as there is room for, in the middle of a box, on a ground of their own; fewer, the first one's last word
 * alone, or none, where something is written already.
 */
function writeLines(brush: Brush, lines: readonly string[], box: OnScreen, look: Look, written: OnScreen[]): void {
  const size = Math.min(13, Math.max(10, Math.round(box.width / 9)));
  const font = (line: number) => `${line === 0 ? 700 : 500} ${size}px ${look.font}`;
  const room = Math.max(1, Math.floor((box.height * COVERED) / (size * 1.25)));
  const [full = '', ...rest] = lines;
  const short = full.slice(full.lastIndexOf(' ') + 1);
  const choices = [...Array.from({ length: lines.length }, (_, less) => [full, ...rest].slice(0, lines.length - less)), [short]];
  for (const shown of choices) {
    const count = shown.length;
    if (count > room) continue;
    const wide = Math.max(...shown.map((line, index) => ((brush.font = font(index)), brush.measureText(line).width))) + 8;
    const high = count * size * 1.25 + 4;
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const place = { left: x - wide / 2, top: y - high / 2, width: wide, height: high };
    if (wide > box.width + 12 || written.some((other) => overlaps(place, other))) continue;
    written.push(place);
    brush.globalAlpha = 0.9;
    brush.fillStyle = look.ground;
    brush.beginPath();
    brush.roundRect(place.left, place.top, wide, high, 5);
    brush.fill();
    brush.globalAlpha = 1;
    shown.forEach((line, index) => write(brush, line, x, y + (index - (count - 1) / 2) * size * 1.25, look.ink, font(index)));
    return;
  }
}

/** A row's label before its first seat and after its last one. */
function drawRowLabels(brush: Brush, camera: Camera, part: Box, { layout, look }: Scene): void {
  const size = Math.round(Math.min(14, Math.max(9, pitchOf(camera) * 0.42)));
  const font = `600 ${size}px ${look.font}`;
  for (const row of layout.rows) {
    const last = row.first + row.count - 1;
    if (row.count === 0) continue;
    for (const [end, inner] of [[row.first, Math.min(last, row.first + 1)], [last, Math.max(row.first, last - 1)]] as const) {
      const [x, y] = [layout.x[end] ?? 0, layout.y[end] ?? 0];
      if (x < part.left || x > part.right || y < part.top || y > part.bottom) continue;
      const [dx, dy] = end === inner ? [end === row.first ? -PITCH : PITCH, 0] : [x - (layout.x[inner] ?? 0), y - (layout.y[inner] ?? 0)];
      const far = Math.hypot(dx, dy) || 1;
      const at = toScreen(camera, { x: x + (dx / far) * PITCH * 0.95, y: y + (dy / far) * PITCH * 0.95 });
      write(brush, row.label, at.x, at.y, look.soft, font);
    }
  }
}

function write(brush: Brush, text: string, x: number, y: number, colour: string, font: string): void {
  brush.font = font;
  brush.fillStyle = colour;
  brush.textAlign = 'center';
  brush.textBaseline = 'middle';
  brush.fillText(text, x, y + 0.5);
}

interface OnScreen {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function overlaps(one: OnScreen, other: OnScreen): boolean {
  const apartSideways = one.left + one.width <= other.left || other.left + other.width <= one.left;
  return !apartSideways && one.top + one.height > other.top && other.top + other.height > one.top;
}

function isWithin({ left, top, width, height }: OnScreen, view: Size): boolean {
  return left < view.width && top < view.height && left + width > 0 && top + height > 0;
}

function onScreen(camera: Camera, box: Box): OnScreen {
  const from = toScreen(camera, { x: box.left, y: box.top });
  return { left: from.x, top: from.y, width: (box.right - box.left) * camera.scale, height: (box.bottom - box.top) * camera.scale };
}

