/** What the map is painted with: the colours of the pages' appearance, and the words on it. */

import { type Look, paintOf, type Scene } from './draw.ts';
import type { House } from '../house.svelte.ts';

/** The colours as the element's styles resolve them in this light. */
export function lookOf(probe: HTMLElement, house: House): Look {
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
    paints: house.colours.map((colour) => paintOf(colour, raised)),
  };
}

function hex(colour: string): string {
  const channels = colour.match(/[\d.]+/g)?.slice(0, 3) ?? ['0', '0', '0'];
  return `#${channels.map((each) => Math.round(Number(each)).toString(16).padStart(2, '0')).join('')}`;
}

/** The scene as it is at this moment: what is asked of it is looked up anew every time. */
export function sceneOf(house: House, look: () => Look): Scene & { dress(): void } {
  const { layout, states, grid, tellsBlocked } = house;
  let current = look();
  return {
    layout,
    states,
    grid,
    tellsBlocked,
    get look() {
      return current;
    },
    dress: () => (current = look()),
    isShown: (category) => house.isShown(category),
    isForSale: (category) => house.isForSale(category),
    label: (zone) => house.label(zone),
    areaLabel: (area) => house.areaLabel(area),
    get stage() {
      return house.words.map.stage;
    },
  };
}
