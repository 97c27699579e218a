/** The words of the door, in English. `ko.ts` has the same keys. */

const people = (count: number) => (count === 1 ? '1 person' : `${count.toLocaleString('en')} people`);

export const en = {
  title: 'Door',
  of: (title: string, at: string) => `${title} · ${at}`,
  ready: 'Scan a ticket',
  readyHint: 'Hold the code into the camera, use a scanner, or type it and press Enter.',
  code: 'Code',
  read: 'Check',
  gate: 'Gate',
  gateHint: 'Shown when somebody comes twice.',
  people: 'People coming in now',
  peopleAll: 'all on the ticket',

  camera: 'Camera',
  cameraStart: 'Use the camera',
  cameraStop: 'Stop the camera',
  cameraDenied: 'The camera may not be used. Allow it in the browser, or type the codes.',
  cameraOverHttp: 'This page came without encryption, and such pages get no camera: open it by https, or type the codes.',
  cameraNone: 'There is no camera here. Type the codes, or use a scanner.',

  results: {
    admitted: 'Come in',
    already_in: 'Already in',
    refunded: 'Given back',
    replaced: 'Replaced',
    other_schedule: 'Another date',
    not_genuine: 'Not a ticket',
  },
  admitted: (count: number) => people(count),
  entered: (entered: number, of: number) => `${entered} of ${of} are in`,
  alreadyAt: (time: string, gate: string | null) => (gate === null ? `Came in at ${time}` : `Came in at ${time}, gate ${gate}`),
  placeIn: 'Somebody has come in for this place.',
  leftOnly: (left: number) => `Only ${people(left)} may still come in on it`,
  refundedWhy: 'The seats were given back, or the booking was never paid.',
  cancelledWhy: 'This date is cancelled.',
  replacedWhy: 'There is a newer ticket for this booking: ask for that one.',
  otherWhy: (title: string, at: string) => `It is for ${title}, ${at}`,
  notGenuineWhy: 'This code was not made here, or was changed.',
  notOnList: 'It is not on the list on this phone. Ask again when there is a connection.',
  offlineVerdict: 'Checked on this phone alone',

  undo: 'Take back',
  undoReason: 'scanned by mistake',
  undone: 'Taken back. The ticket is good again.',

  offline: 'No connection: tickets are checked on this phone.',
  offlineNoList: 'No connection, and no list on this phone: no ticket can be checked until there is one.',
  stayOpen: 'Keep this page open: without a connection this browser does not bring it back.',
  crowded: 'This browser has no room left for scans: keep this page open until all of them are sent.',
  waiting: (count: number) => (count === 1 ? '1 scan not sent yet' : `${count} scans not sent yet`),
  sent: 'Everything is sent.',
  conflicts: (count: number) => (count === 1 ? '1 ticket came in twice while offline' : `${count} tickets came in twice while offline`),
  listAge: (time: string) => `List of ${time}`,

  counts: (entered: number, places: number) => `${entered.toLocaleString('en')} of ${places.toLocaleString('en')} in`,
  countsTitle: 'Who is in',
  byGate: 'By gate',
  noGate: 'no gate',
  table: { gate: 'Gate', result: 'Result', codes: 'Codes', people: 'People' },

  search: 'Search by name, booking number or seat',
  searchNone: 'Nobody by that name, number or seat.',
  searchMore: (count: number) => `and ${count} more: type on`,
  letIn: (count: number) => `Let ${people(count)} in`,
  allIn: 'all in',

  history: 'Last scans',
  sound: 'Sound',
  closedTitle: 'This door is closed to you',
  closedDetail: 'The link has expired or was taken back. Ask the organizer for a new one.',
};
