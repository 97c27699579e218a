/**
 * What part of a house is seen: `screen = scale × place + (x, y)`, in CSS pixels. Pure; d3-zoom's transforms have the same form.
 *
 * How large a seat appears decides how it is drawn and what a tap on it means (`levelOf`), never a mode of its own.
 */

import { type Box, PITCH } from './layout.ts';

export interface Camera {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** `house`: sections with seats as dots; `section`: seats and row labels; `seats`: with numbers. */
export type Level = 'house' | 'section' | 'seats';

const SECTION_FROM = 9; // pixels from seat to seat: below, a seat is a dot
const SEATS_FROM = 24; // what a finger can tell from its neighbour (WCAG 2.2, 2.5.8); numbers are readable from here on
export const SEAT_WISHED = 34; // what a tap zooms to
const CLOSEST = 60;
const MARGIN = 16; // pixels around what is fitted

export function pitchOf(camera: Camera): number {
  return camera.scale * PITCH;
}

export function levelOf(camera: Camera): Level {
  const pitch = pitchOf(camera);
  return pitch < SECTION_FROM ? 'house' : pitch < SEATS_FROM ? 'section' : 'seats';
}

/** The scales a reader may zoom between: from the whole house to a few seats. */
export function scaleLimits(house: Box, view: Size): readonly [number, number] {
  const whole = fit(house, view).scale;
  return [whole, Math.max(CLOSEST / PITCH, whole)];
}

/** Shows all of the box, in the middle, no larger than `pitch` pixels a seat. */
export function fit(box: Box, view: Size, pitch: number = CLOSEST): Camera {
  const room = { width: Math.max(1, view.width - 2 * MARGIN), height: Math.max(1, view.height - 2 * MARGIN) };
  const wide = Math.max(1, box.right - box.left);
  const high = Math.max(1, box.bottom - box.top);
  const scale = Math.min(room.width / wide, room.height / high, pitch / PITCH);
  return centred({ x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 }, scale, view);
}

/** Shows a place of the house in the middle. */
export function centred(place: Point, scale: number, view: Size): Camera {
  return { scale, x: view.width / 2 - scale * place.x, y: view.height / 2 - scale * place.y };
}

/** Zooms around a point of the screen, which stays where it is. */
export function zoomed(camera: Camera, factor: number, at: Point, limits: readonly [number, number]): Camera {
  const scale = Math.min(limits[1], Math.max(limits[0], camera.scale * factor));
  const place = toHouse(camera, at);
  return { scale, x: at.x - scale * place.x, y: at.y - scale * place.y };
}

export function toHouse(camera: Camera, at: Point): Point {
  return { x: (at.x - camera.x) / camera.scale, y: (at.y - camera.y) / camera.scale };
}

export function toScreen(camera: Camera, place: Point): Point {
  return { x: camera.scale * place.x + camera.x, y: camera.scale * place.y + camera.y };
}

/** The part of the house that is seen, and `margin` pixels around it. */
export function seen(camera: Camera, view: Size, margin = 0): Box {
  const from = toHouse(camera, { x: -margin, y: -margin });
  const to = toHouse(camera, { x: view.width + margin, y: view.height + margin });
  return { left: from.x, top: from.y, right: to.x, bottom: to.y };
}
