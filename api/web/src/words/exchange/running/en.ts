/** The words of seats that are held to take the place of others, on the page of those others, in English. `ko.ts` has the same keys. */

export const en = {
  holds: (places: string) => `You hold ${places} to take the place of seats of this booking.`,
  goOn: 'Go on to pay',
};

export type RunningWords = typeof en;
