/** The words of taking other seats, or seats of another date, in English. `ko.ts` has the same keys. */

const seats = (count: number) => (count === 1 ? '1 seat' : `${count.toLocaleString('en')} seats`);

export const en = {
  title: 'Other seats or another date',
  lead: 'Your seats stay yours until you have the others.',
  back: 'Back to the booking',
  notTitle: 'These seats cannot be exchanged',
  not: 'Only seats that are yours, of a date that is still to come, can.',

  date: 'Date',
  yourDate: (when: string) => `${when} · your date`,
  left: (when: string, count: number) => `${when} · ${seats(count)} left`,
  soldOut: (when: string) => `${when} · sold out`,
  noOther: 'No other date is on sale at the moment.',
  wait: 'Others are waiting for this date. Choose seats when it is your turn.',

  choice: 'Your exchange',
  hint: 'Press a free seat, on the map or in the list: it takes the place of one of yours.',
  hintThere: (count: number) => `Choose ${seats(count)}, on the map or in the list.`,
  yours: 'Your seats',
  fresh: 'New seats',
  givenUp: 'given up',
  keep: (name: string) => `Keep ${name}`,
  kept: 'Keep',
  takeOut: (name: string) => `Take out ${name}`,
  missing: (count: number) => `Choose ${seats(count)} more.`,
  gone: (places: string) => `${places}: just gone. Your own seats are still yours. Choose others.`,
};

export type ExchangeWords = typeof en;
