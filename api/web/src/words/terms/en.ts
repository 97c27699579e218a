/** The words of an organizer's dates: when, for how much, and what is given back, in English. `ko.ts` has the same keys. */

const places = (count: number) => (count === 1 ? '1 place' : `${count.toLocaleString('en')} places`);
const dates = (count: number) => (count === 1 ? '1 date' : `${count} dates`);
const bookings = (count: number) => (count === 1 ? '1 booking' : `${count.toLocaleString('en')} bookings`);

export const en = {
  schedule: {
    newTitle: 'New dates',
    newTitleOf: (title: string) => `New dates: ${title}`,
    title: 'Date and terms of sale',
    titleOf: (title: string, when: string) => `${title}, ${when}`,
    noVenue: 'There is no venue yet that you may play in.',
    toVenue: 'To the first step: the venue',
    when: 'When and where',
    venue: 'Venue',
    start: 'First date',
    zone: (zone: string) => `By the clocks of the venue (${zone.replaceAll('_', ' ')}).`,
    frequency: 'How often',
    frequencies: { once: 'Once', daily: 'Every day', weekly: 'On days of the week', rule: 'By a rule (RFC 5545)' },
    weekdays: 'Days of the week',
    until: 'Last day',
    rule: 'Rule',
    ruleHint: 'For example FREQ=WEEKLY;BYDAY=FR,SA;COUNT=8. Lines with EXDATE and RDATE may follow.',
    furtherTimes: 'Further times of the day',
    furtherTime: (number: number) => `Time ${number}`,
    addTime: 'Another time on the same day',
    removeTime: 'Remove this time',
    onceAt: (times: string) => `Once, at ${times}.`,
    dailyAt: (times: string, until: string) => (until === '' ? `Every day at ${times}.` : `Every day at ${times}, until ${until}.`),
    weeklyAt: (days: string, times: string, until: string) => (until === '' ? `Every ${days} at ${times}.` : `Every ${days} at ${times}, until ${until}.`),
    dates: (count: number, conflicts: number) => (conflicts === 0 ? `${dates(count)}, and the house is free.` : `${dates(count)}; something is in the way of ${conflicts}.`),
    limitLeft: (left: number) => `You may have ${dates(left)} more at the moment.`,
    overlaps: 'Begins before the date before it is over.',
    inTheWay: (title: string, venue: string, when: string) => `In the way: ${title}, ${venue}, ${when}.`,
    leaveOut: 'Leave out',
    leaveOutDate: (when: string) => `Leave out ${when}`,
    leftOut: 'Left out:',
    putBack: (when: string) => `Put ${when} back`,
    allDates: (count: number) => `Show all ${dates(count)}`,
    noDatesYet: 'Say when it begins and, if it is played again, until when: all dates stand here.',
    prices: 'Prices',
    currency: 'Currency',
    priceOf: (category: string) => `Price of ${category}`,
    places,
    placesAt: (count: number, price: string) => `${places(count)} at ${price}`,
    forSale: 'For sale',
    noAmount: 'This is no amount of that currency.',
    soldOut: 'If everything is sold, a date brings',
    selling: 'The sale',
    opens: 'The sale opens',
    opensNow: 'At once',
    opensLater: 'At a time …',
    opensAt: 'Opens at',
    closes: 'The sale closes',
    closesBefore: (minutes: number) => {
      if (minutes === 0) return 'At the start';
      if (minutes % 1440 === 0) return minutes === 1440 ? 'A day before the start' : `${minutes / 1440} days before the start`;
      if (minutes % 60 === 0) return minutes === 60 ? 'An hour before the start' : `${minutes / 60} hours before the start`;
      return `${minutes} minutes before the start`;
    },
    limit: 'Seats a customer may have',
    limitHint: 'No limit if empty.',
    hold: 'Minutes that unpaid seats are kept',
    holdHint: 'From half a minute to 60.',
    waitingRoom: 'Waiting room',
    waitingRoomHint: 'For a rush: people choose seats one after the other, in an order that is drawn when the sale opens, and by arrival from then on. Nobody notices it while there is no rush.',
    create: (count: number) => (count === 1 ? 'Put it on sale' : `Put ${dates(count)} on sale`),
    toLive: 'Watch the sale',
    isCancelled: 'This date is cancelled. Its terms cannot be changed any more.',
    move: 'Move the date',
    moveHint: 'Who has booked keeps the seats and is told of the new time.',
    newStart: 'New start',
    moves: (count: number, seats: number) => `${bookings(count)} with ${places(seats)} move along; their customers get a mail, and may give them back free of charge where the terms say so.`,
    movesNobody: 'Nobody has booked yet: nobody is to be told.',
    moveNow: 'Move it',
    moved: 'The date is moved.',
    withdraw: 'Take this date out of the catalogue',
    withdrawHint: 'That works while nobody holds or owns a seat of it. Otherwise cancel it, on the page where you watch the sale: everybody gets everything back.',
    withdrawNow: 'Take it out for good',
    withdrawn: 'The date is out of the catalogue.',
  },

  refunds: {
    title: 'If customers cannot come',
    policy: 'What they get back',
    policies: {
      usual: 'Less as the day comes near (the usual scale in Korea)',
      free: 'Everything, until the start',
      final: 'Nothing: paid seats are final',
      own: 'Steps of my own',
    },
    step: (days: number, fee: number) => {
      const until = days === 0 ? 'Until the start' : days === 1 ? 'Until the day before' : `Until ${days} days before`;
      return fee === 0 ? `${until} they get everything back.` : fee === 100 ? `${until} they get nothing back.` : `${until} they get all but ${fee} % back.`;
    },
    after: 'After that nothing is given back.',
    final: 'Nothing is given back.',
    days: 'Days before',
    fee: 'Fee in %',
    addStep: 'Another step',
    remove: 'Remove',
    removeStep: (number: number) => `Remove step ${number}`,
    whenMoved: 'If I move the date, seats can be given back free of charge until the start',
  },
};

export type TermsWords = typeof en;
