/**
 * What the API tells programs where to read on (`see available`), said to people instead, with the facts themselves. Codes that
 * are not here are told in the API's own words. `ko.ts` has the same keys.
 */

import type { ProblemDocument } from '../../api/problem.ts';

const seats = (count: unknown) => (count === 1 ? '1 seat' : `${String(count)} seats`);

const notRefundable: Record<string, string> = {
  checked_in: 'These seats cannot be given back: somebody has come in on the ticket.',
  handed_on: 'These seats were handed on: they are somebody else’s now.',
  kept: 'This booking was ended without giving the money back.',
};
const notChangeable: Record<string, string> = {
  begun: 'It is too late to change this booking: the performance has begun.',
  checked_in: 'This booking cannot be changed: somebody has come in on the ticket.',
  longest: 'These seats have been kept for as long as they can be.',
  not_held: 'The seats of the other date are held no longer. Yours have stayed as they were: choose again.',
  other_date: 'What is paid for stays on its date. Book the other one, then give these seats back.',
  other_price: 'What is paid for can only be exchanged for seats that cost the same.',
  paid: 'This booking is paid for: nobody else can have its seats any more.',
};
const transferNotAllowed: Record<string, string> = {
  begun: 'These seats cannot be handed on any more: the performance has begun.',
  checked_in: 'These seats cannot be handed on: somebody has come in on the ticket.',
  held: 'These seats can be handed on once they are paid for.',
  not_allowed: 'Seats of this date cannot be handed on: the organizer does not allow it.',
  schedule_cancelled: 'This date has been cancelled, so its seats cannot be handed on.',
  cancelled: 'This booking was cancelled, so there are no seats to hand on.',
  expired: 'The time to pay for this booking is over, so there are no seats to hand on.',
  refunded: 'These seats were given back, so they cannot be handed on.',
  transferred: 'These seats were handed on: they are somebody else’s now.',
};

export const en = {
  details: {
    unauthenticated: () => 'Nobody is logged in here any more. Log in, then try again.',
    validation_failed: () => 'Something is missing, or cannot be so:',
    invalid_seating_plan: () => 'The plan cannot be used as it is:',
    unsupported_media_type: () => 'This is nothing that can be taken here.',
    body_too_large: () => 'This is larger than what can be taken here.',
    idempotency_key_reused: () => 'This was sent before, and has been changed since. Load the page anew, then try again.',
    idempotency_in_progress: () => 'This was sent a moment ago and is still being done. Try again in a moment.',
    not_ready: () => 'A part of the box office is not there at the moment.',
    venue_in_use: () => 'Somebody holds or owns seats that the new plan takes away or calls otherwise.',
    schedule_conflict: () => 'The house, or the performance itself, is taken at this time.',
    schedule_limit_reached: ({ limit }) => `You may have ${String(limit)} dates to come, and no more.`,
    venue_grant_limit_reached: ({ limit }) => `${String(limit)} may play here, and no more: take one back, or let all others play here.`,
    schedule_cancelled: () => 'This date has been cancelled. What was paid is given back.',
    seats_unavailable: () => 'Some of these seats are not free any more.',
    not_enough_seats: ({ available }) => (available === 0 ? 'No such seat is free any more.' : `There are not so many free seats of that kind, as you want them: ${String(available)} in all.`),
    invalid_quantity: ({ limit }) => (limit === undefined ? 'So many seats cannot be booked at once.' : `At most ${seats(limit)} can be booked at once.`),
    sale_not_open: () => 'The sale of this date has not opened yet.',
    sale_closed: () => 'The sale of this date has closed.',
    customer_limit_reached: ({ limit }) => `You may have ${seats(limit)} of this date, and no more.`,
    transfer_ended: () => 'This offer was accepted, declined or taken back, or is too old.',
    booking_paid: ({ reason }) => (reason === 'handed_on' ? 'It was paid for by whoever handed the seats to you: you can hand them on, and not give them back.' : 'It is paid for: give the seats back instead, and the money comes back with them.'),
    payment_declined: () => 'The card was declined. The seats stay yours until the time is up.',
    booking_not_changeable: ({ reason }) => notChangeable[String(reason)] ?? 'This booking cannot be changed any more.',
    not_refundable: ({ reason }) => notRefundable[String(reason)] ?? 'These seats cannot be given back: it is too late, or the payment is not settled yet.',
    transfer_not_allowed: ({ reason }) => transferNotAllowed[String(reason)] ?? 'These seats are being handed on already, or are not yours any more.',
    booking_not_confirmed: ({ reason }) => (reason === 'held' ? 'This booking has no ticket until it is paid for.' : 'This booking has no ticket any more.'),
  } as Record<string, (facts: ProblemDocument) => string>,
  /** What people know the API's fields as. */
  fields: {
    email: 'E-mail',
    password: 'Password',
    current_password: 'Current password',
    name: 'Name',
    title: 'Title',
    title_en: 'Title in English',
    description: 'Description',
    description_en: 'Description in English',
    category: 'Category',
    duration_minutes: 'Minutes it takes',
    picture_url: 'Address of a picture',
    city: 'City',
    address: 'Address',
    starts_at: 'Start',
    recurrence: 'How often',
    prices: 'Prices',
    currency: 'Currency',
    sale_opens_at: 'The sale opens',
    sale_closes_at: 'The sale closes',
    max_seats_per_customer: 'Seats a customer may have',
    hold_seconds: 'Time to pay',
    refund_policy: 'What customers get back',
    expires_at: 'Until when',
    quantity: 'Quantity',
    zone: 'Zone',
    seats: 'Seats',
    reason: 'Reason',
    q: 'Search',
    places: 'People',
    gate: 'Gate',
    code: 'Code',
    fee_percent: 'Fee',
    reference: 'Reference',
  } as Record<string, string>,
};

export type ProblemWords = typeof en;
