/**
 * Two canvases, one over the other: the house, and what stands over it. Draws at most once a frame, and only what has to be.
 *
 * The house is kept as a picture of what was seen at rest. While a gesture goes on that picture is moved and stretched, which takes
 * a third of a millisecond; when the gesture rests, it is drawn anew. A seat that changes is painted into it alone.
 */

import { drawAreas, drawHouse, drawOver, drawSeat, type Marks, type Scene } from './draw.ts';
import type { Camera, Size } from '../house/camera.ts';

const REST_MS = 120;
const STRETCHED = 1.6; // how much larger or smaller than drawn the picture may be shown
const AROUND = 0.25; // of the view, how much more than it is drawn on every side: what a drag brings into view
const DENSITY = 2; // pixels of a canvas for one of the page, at most: more is not seen, and costs its square

export class Board {
  readonly #base: HTMLCanvasElement;
  readonly #over: HTMLCanvasElement;
  readonly #picture = document.createElement('canvas');
  readonly #scene: Scene & { dress(): void };
  #view: Size = { width: 0, height: 0 };
  #density = 1;
  #camera: Camera = { scale: 1, x: 0, y: 0 };
  /** The camera that the picture was drawn with; null: it is not drawn, or no longer right. */
  #drawn: Camera | null = null;
  #marks: Marks = { mine: [], wished: [], offered: [], chosen: [], pointed: null };
  readonly #changed = new Set<number>();
  #areasChanged = false;
  #frame = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;

  constructor(base: HTMLCanvasElement, over: HTMLCanvasElement, scene: Scene & { dress(): void }) {
    this.#base = base;
    this.#over = over;
    this.#scene = scene;
  }

  resize(view: Size): void {
    this.#view = view;
    this.#density = Math.min(DENSITY, devicePixelRatio);
    for (const canvas of [this.#base, this.#over, this.#picture]) {
      const around = canvas === this.#picture ? 1 + 2 * AROUND : 1;
      canvas.width = Math.max(1, Math.round(view.width * around * this.#density));
      canvas.height = Math.max(1, Math.round(view.height * around * this.#density));
    }
    this.#drawAnew();
  }

  /** Shows another part of the house. */
  look(camera: Camera): void {
    this.#camera = camera;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#drawAnew(), REST_MS);
    this.#soon();
  }

  /** Everything looks different. */
  dress(): void {
    this.#scene.dress();
    this.#drawAnew();
  }

  mark(marks: Marks): void {
    this.#marks = marks;
    this.#soon();
  }

  /** These seats stand differently now, and perhaps standing room does. */
  changed(seats: readonly number[], areas: boolean): void {
    for (const seat of seats) this.#changed.add(seat);
    this.#areasChanged ||= areas;
    if (areas || seats.length > 0) this.#soon();
  }

  end(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#rest);
  }

  #drawAnew(): void {
    this.#drawn = null;
    this.#soon();
  }

  #soon(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const [base, over] = [this.#base.getContext('2d', { alpha: false }), this.#over.getContext('2d')];
    if (base === null || over === null || this.#view.width === 0) return;
    const drawn = this.#painted();
    const stretch = this.#camera.scale / drawn.scale;
    base.setTransform(1, 0, 0, 1, 0, 0);
    base.fillStyle = this.#scene.look.ground;
    base.fillRect(0, 0, this.#base.width, this.#base.height);
    const left = (this.#camera.x - drawn.x * stretch) * this.#density;
    const top = (this.#camera.y - drawn.y * stretch) * this.#density;
    base.drawImage(this.#picture, left, top, this.#picture.width * stretch, this.#picture.height * stretch);
    over.setTransform(this.#density, 0, 0, this.#density, 0, 0);
    drawOver(over, this.#camera, this.#view, this.#marks, this.#scene);
  }

  /** Brings the picture up to date, and gives the camera it was drawn with. */
  #painted(): Camera {
    const brush = this.#picture.getContext('2d', { alpha: false });
    if (brush === null) return this.#camera;
    brush.setTransform(this.#density, 0, 0, this.#density, 0, 0);
    if (this.#drawn === null || !this.#serves(this.#drawn)) {
      const { width, height } = this.#view;
      const { scale, x, y } = this.#camera;
      this.#drawn = { scale, x: x + width * AROUND, y: y + height * AROUND };
      const around = { width: width * (1 + 2 * AROUND), height: height * (1 + 2 * AROUND) };
      drawHouse(brush, this.#drawn, around, this.#scene);
    } else {
      if (this.#areasChanged) drawAreas(brush, this.#drawn, this.#scene);
      for (const seat of this.#changed) drawSeat(brush, this.#drawn, seat, this.#scene, true);
    }
    this.#changed.clear();
    this.#areasChanged = false;
    return this.#drawn;
  }

  /** Whether the picture can be moved or stretched to what is seen now. */
  #serves(drawn: Camera): boolean {
    const stretch = this.#camera.scale / drawn.scale;
    if (stretch > STRETCHED || stretch < 1 / STRETCHED) return false;
    const { width, height } = this.#view;
    const [left, top] = [this.#camera.x - drawn.x * stretch, this.#camera.y - drawn.y * stretch];
    const covers = left <= 0 && top <= 0 && left + width * (1 + 2 * AROUND) * stretch >= width && top + height * (1 + 2 * AROUND) * stretch >= height;
    return covers || stretch < 1; // zooming out: the edges come when the gesture rests
  }
}
