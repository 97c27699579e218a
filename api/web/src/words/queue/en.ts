/** The words of the waiting room, in English. `ko.ts` has the same keys. */

const people = (count: number) => (count === 1 ? '1 person' : `${count.toLocaleString('en')} people`);

export const en = {
  title: 'Waiting room',

  opensIn: 'The sale opens in',
  opensAt: (when: string) => `on ${when}`,
  here: (count: number) => (count === 1 ? 'You are the only one here so far.' : `${people(count)} are here.`),
  lot: 'Places are drawn with the opening: everybody who is here by then has the same chance, whenever they came.',
  drawing: 'The sale is open. Places are being drawn…',
  ahead: (count: number) => `${people(count)} ahead of you`,
  next: 'You are next',
  inTitle: (count: number) => `${count.toLocaleString('en')} ahead`,
  behind: (count: number) => (count === 0 ? 'Nobody is behind you.' : `${people(count)} behind you`),
  wait: { minutes: (count: number) => (count <= 1 ? 'about a minute' : `about ${count} minutes`), hours: (count: number) => `about ${count} hours` },
  waitTitle: 'Until it is your turn',
  spoken: (place: string, wait: string) => `${place}, ${wait}.`,
  kept: 'A reload keeps your place, and so does another device: it is your account’s. Leave this page open; it takes you to the seats by itself.',
  sound: 'A sound tells you, too, where the browser allows it.',
  hearIt: 'Hear it',

  admitted: 'It is your turn',
  admittedTitle: 'Your turn!',
  admittedDetail: (left: string) => `Choose your seats now: within ${left} the first of them has to be held.`,
  admittedFreely: 'Nobody is waiting: choose your seats.',
  choose: 'Choose seats',
  goOn: 'Go on',
  movesIn: (seconds: number) => (seconds === 1 ? 'You are taken there in a second.' : `You are taken there in ${seconds} seconds.`),

  interrupted: 'The connection is interrupted. Your place is kept; this page tries again by itself.',
  interruptedBusy: 'Nobody can be told where they stand at the moment. Your place is kept; this page tries again by itself.',
  soldOut: 'Every seat is sold or held at the moment',
  soldOutDetail: 'Seats that people hold and do not pay for come back, so it can be worth staying. You keep your place for as long as you like.',
  otherDates: 'Other dates',

  left: 'You have left the line',
  leftDetail: 'Your place went to whoever was behind you.',
  over: 'Your turn is over',
  overDetail: 'Nobody came to choose seats, or none were held in time, so others were let in. You can stand in line again, at its end.',
  joinAnew: 'Join the line again',
  closed: 'The sale of this date is closed',
  cancelled: 'This date is cancelled',
  toShow: 'To the performance',
  lookAround: 'Look at the seats meanwhile',

  leave: 'Leave the line',
  leaveSure: 'Your place would be lost. Joining again is at the end of the line.',
  leaveNow: 'Yes, leave it',
  stay: 'Stay',

  seats: 'Seats left',
  leftOf: (count: number) => (count === 0 ? 'none left' : `${count.toLocaleString('en')} left`),
};

export type QueueWords = typeof en;
