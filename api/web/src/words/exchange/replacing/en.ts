/** The words of seats that are to take the place of others, in English. `ko.ts` has the same keys. */

export const en = {
  replaces: (places: string, number: string, when: string) => `These are to take the place of ${places} of booking ${number} (${when}), which you keep until you give them back after paying.`,
  giveBack: 'The new seats are yours. Now give the old ones back.',
  backOld: 'Give the old seats back',
  stays: 'Nothing has changed with your seats of before: they are still yours.',
  toOld: 'To the seats of before',
};

export type ReplacingWords = typeof en;
