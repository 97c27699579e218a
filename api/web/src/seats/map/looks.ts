/** What the map is painted with: the colours of the pages' appearance, and the words on it. */

import { type Look, paintOf, type Scene } from './draw.ts';
import type { Picking } from '../picking.svelte.ts';

/** The colours as the element's styles resolve them in this light. */
export function lookOf(probe: HTMLElement, picking: Picking): Look {
  const style = getComputedStyle(probe);
  const raised = hex(style.borderTopColor);
  return {
    ground: hex(style.backgroundColor),
    raised,
    line: hex(style.borderRightColor),
    strong: hex(style.borderBottomColor),
    ink: hex(style.color),
    soft: hex(style.borderLeftColor),
    accent: hex(style.textDecorationColor),
    font: style.fontFamily,
    paints: picking.colours.map((colour) => paintOf(colour, raised)),
  };
}

function hex(colour: string): string {
  const channels = colour.match(/[\d.]+/g)?.slice(0, 3) ?? ['0', '0', '0'];
  return `#${channels.map((each) => Math.round(Number(each)).toString(16).padStart(2, '0')).join('')}`;
}

/** The scene as it is at this moment: what is asked of it is looked up anew every time. */
export function sceneOf(picking: Picking, look: () => Look): Scene & { dress(): void } {
  const { layout, states, grid } = picking;
  let current = look();
  return {
    layout,
    states,
    grid,
    get look() {
      return current;
    },
    dress: () => (current = look()),
    isShown: (category) => picking.isShown(category),
    isForSale: (category) => picking.priceOf(category) !== null,
    label: (zone) => {
      const shown = (category: number) => picking.isShown(category) && picking.priceOf(category) !== null;
      const left = states.free(shown, zone);
      const cheapest = cheapestIn(picking, zone);
      const name = layout.zones[zone]?.name ?? '';
      return [name, picking.words.left(left), ...(cheapest === null || left === 0 ? [] : [picking.words.from(picking.show(cheapest))])];
    },
    areaLabel: (area) => {
      const of = layout.areas[area];
      if (of === undefined) return [];
      return [of.name, picking.words.left(states.freeInArea(area)), picking.priceText(of.category)];
    },
    get stage() {
      return picking.words.map.stage;
    },
  };
}

/** The lowest price of a free seat in a section, among the prices that are shown. */
export function cheapestIn(picking: Picking, zone: number): number | null {
  const prices = picking.layout.categories.flatMap((_, category) => {
    const price = picking.priceOf(category);
    const left = picking.states.free((each) => each === category, zone);
    return price !== null && left > 0 && picking.isShown(category) ? [price] : [];
  });
  return prices.length === 0 ? null : Math.min(...prices);
}
