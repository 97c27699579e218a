/** The words of the organizers' pages before a sale runs, in English. `organizer.ko.ts` has the same keys. */

export const en = {
  shows: 'Your shows',
  venues: 'Venues',
  navigation: 'For organizers',

  becoming: {
    title: 'Sell your own tickets',
    bySigningUp: 'This account buys tickets. To sell, sign up once more with another e-mail address, as an organizer: you go from nothing to a sale in ten minutes.',
    byAdmin: 'Or ask whoever runs this box office to make this very account an organizer.',
    signUp: 'Log out and sign up to sell',
  },

  steps: {
    title: 'Three steps to a sale',
    venue: 'Venue',
    performance: 'Performance',
    schedule: 'Dates and prices',
  },

  overview: {
    emptyTitle: 'From nothing to a sale in ten minutes',
    emptyDetail: 'First say where you play: a plan of the seats, or how many rows there are. Then what is played, then when and for how much.',
    begin: 'Begin with the venue',
  },

  venue: {
    newTitle: 'New venue',
    title: 'Venue',
  },

  performance: {
    newTitle: 'New performance',
    title: 'Performance',
  },

  schedule: {
    newTitle: 'New dates',
    title: 'Date and terms of sale',
  },
};

export type OrganizerWords = typeof en;
