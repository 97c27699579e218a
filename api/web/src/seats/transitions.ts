/** As much of d3-transition and d3-interpolate as d3-zoom asks for, in pages that never animate by them: see `vite.config.ts`. */

import { selection } from 'd3-selection';

/** Nothing runs that could be ended. */
export function interrupt(): void {
  return;
}

/** Only ever asked for a transition. */
export function interpolateZoom(): never {
  throw new Error('there are no transitions here');
}

Object.assign(selection.prototype, {
  interrupt<T>(this: T): T {
    return this;
  },
});
