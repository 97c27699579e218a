/** The words of seats that are held to take the place of others, or besides them, on the pages of those others, in English. `ko.ts` has the same keys. */

export const en = {
  holds: (places: string) => `You hold ${places} to take the place of seats of this booking.`,
  goOn: 'Go on to pay',
  holdsBesides: (places: string) => `You hold ${places} in another booking.`,
  toOther: 'To that booking',
};

export type RunningWords = typeof en;
