/** The words of what an exchange comes to, and of carrying it out, in English. `ko.ts` has the same keys. */

export const en = {
  same: 'They cost the same: nothing is to be paid.',
  now: 'Exchange now',
  done: 'Your seats are exchanged.',

  alike: 'They cost the same.',
  costs: (now: string, before: string) => `${now} in all, instead of ${before}.`,
  moveOrder: 'These seats are held first, then yours are free again. You pay afterwards.',
  move: 'Take this date instead',
  moved: (when: string) => `Your seats are now of ${when}.`,

  toPay: 'New seats, paid now',
  comesBack: 'Comes back for the old ones',
  afterFee: (fee: string, percent: number) => `after a fee of ${fee} (${percent} %)`,
  dearer: 'In all you pay',
  cheaper: 'In all you get back',
  order: 'The new seats are held and paid for first. Then you give the old ones back. Until then you have both.',
  hold: 'Hold the new seats and pay',
  sameOnly: 'These seats can be exchanged only for others that cost the same.',
  limit: 'Until they are given back your present seats count, too. Seats that cost the same can be had all the same.',
};

export type DealWords = typeof en;
