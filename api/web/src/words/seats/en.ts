/** The words of the seat picker, in English. `ko.ts` has the same keys. */

const seats = (count: number) => (count === 1 ? '1 seat' : `${count.toLocaleString('en')} seats`);

export const en = {
  place: (row: string, number: string) => `Row ${row} seat ${number}`,
  placeIn: (zone: string, row: string, number: string) => `${zone}, row ${row} seat ${number}`,
  seat: (place: string, category: string, price: string) => `${place}, ${category}, ${price}`,
  left: (count: number) => (count === 0 ? 'none left' : `${count.toLocaleString('en')} left`),
  from: (price: string) => `from ${price}`,
  notForSale: 'not for sale',
  states: { free: 'free', held: 'held', sold: 'sold', blocked: 'blocked' },

  best: {
    title: 'Best seats',
    quantity: 'Quantity',
    category: 'Category',
    any: 'Any category',
    zone: 'Zone',
    anyZone: 'Anywhere',
    adjacent: 'Side by side',
    hold: 'Hold best seats',
    others: 'Other seats',
  },

  legend: {
    title: 'Prices',
    hint: 'Choose prices to see their seats alone.',
    all: 'All prices',
    states: { free: 'free', mine: 'yours', held: 'held by others', sold: 'sold' },
  },

  map: {
    title: 'Seat map',
    hint: 'The list below the map has the same seats.',
    stage: 'Stage',
    closer: 'Zoom in',
    farther: 'Zoom out',
    whole: 'Whole house',
    floors: 'Floors',
    minimap: 'Part of the house that is shown',
    zoomFirst: 'Seats are small here: the map came closer. Tap the seat again.',
    polling: 'Seats are brought up to date every few seconds.',
  },

  list: {
    title: 'Seats as a list',
    sections: 'Sections',
    none: 'No section has that many free seats at these prices.',
    rows: (zone: string) => `Rows of ${zone}`,
    row: (label: string) => `Row ${label}`,
    seats: (zone: string, row: string) => `${zone}, row ${row}`,
    back: 'All sections',
    backToRows: (zone: string) => `Rows of ${zone}`,
    fewer: 'One place less',
    another: 'One place more',
    places: (name: string) => `Places in ${name}`,
  },

  basket: {
    title: 'Basket',
    empty: 'A click on a seat holds it for you.',
    total: 'Total',
    pay: 'Pay',
    wanted: 'Holding…',
    waiting: (seconds: number) => `Many want seats at this moment. Asking again in ${seconds} s.`,
    logIn: 'These seats are not held yet.',
    holdThem: 'Log in and hold them',
    take: (name: string) => `Take out ${name}`,
    extended: 'The seats are held for longer.',
    held: (count: number) => `${seats(count)} held for you.`,
    released: 'Nothing is held for you any more.',
    expired: 'Your time was up, and the seats are free again.',
    again: 'Try the same seats',
    limit: (count: number) => `At most ${seats(count)} a customer.`,
    more: 'Other seats you hold',
  },

  gone: {
    one: (place: string) => `${place} has just gone.`,
    several: (count: number) => `${seats(count)} have just gone.`,
    nearest: (places: string) => `Nearest, at the same price: ${places}.`,
    take: 'Take them',
    none: 'There are no others at that price.',
    dismiss: 'Dismiss',
  },

  lone: {
    says: 'This leaves one seat alone.',
    shift: (places: string) => `Move to ${places}`,
  },

  sale: {
    opensAt: (when: string) => `The sale opens on ${when}. Until then you can look around.`,
    closed: 'The sale of this date is closed.',
    cancelled: 'This date is cancelled.',
    turn: (left: string) => `Others are waiting: hold seats within ${left}, or your turn is over.`,
  },

  house: (left: number) => `${seats(left)} left in the house.`,
};

export type SeatWords = typeof en;
