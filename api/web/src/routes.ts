/**
 * Which page is at which address. A page is a component in a file of its own, loaded when it is gone to; the parts of the
 * address become its props (`/s/{scheduleId}` → `let { scheduleId }: { scheduleId: string } = $props()`).
 *
 * A page sets its title with `<svelte:head><title>…</title></svelte:head>` and has one `<h1>`. The server knows the same
 * addresses (`served.py`), to answer them with the shell.
 */

import type { Component } from 'svelte';
import { connection } from './frame/connection.svelte.ts';
import { match } from './frame/router.svelte.ts';

type Page = Component<Record<string, string>>;
interface Route {
  readonly pattern: string;
  /** Whether the page is for whoever is logged in: others are asked to log in first. */
  readonly own?: boolean;
  load(): Promise<unknown>;
}

const ROUTES: readonly Route[] = [
  { pattern: '/', load: () => import('./customer/finding/Home.svelte') },
  { pattern: '/p/{performanceId}', load: () => import('./customer/finding/Performance.svelte') },
  { pattern: '/s/{scheduleId}', load: () => import('./customer/finding/Seats.svelte') },
  { pattern: '/s/{scheduleId}/queue', own: true, load: () => import('./customer/queue/Queue.svelte') },
  { pattern: '/b/{bookingId}', own: true, load: () => import('./customer/booking/Booking.svelte') },
  { pattern: '/b/{bookingId}/exchange', own: true, load: () => import('./customer/exchange/Exchange.svelte') },
  { pattern: '/bookings', own: true, load: () => import('./customer/booking/Bookings.svelte') },
  { pattern: '/account', own: true, load: () => import('./customer/account/Account.svelte') },
  { pattern: '/login', load: () => import('./customer/account/LogIn.svelte') },
  { pattern: '/signup', load: () => import('./customer/account/SignUp.svelte') },
  { pattern: '/forgotten', load: () => import('./customer/account/Forgotten.svelte') },
  { pattern: '/password-resets/{token}', load: () => import('./customer/account/NewPassword.svelte') },
  { pattern: '/email-confirmations/{token}', load: () => import('./customer/account/ConfirmEmail.svelte') },
  { pattern: '/o', own: true, load: () => import('./organizer/overview/Overview.svelte') },
  { pattern: '/o/s/{scheduleId}', own: true, load: () => import('./organizer/live/LivePage.svelte') },
  { pattern: '/admin', own: true, load: () => import('./admin/Admin.svelte') },
  { pattern: '/admin/{section}', own: true, load: () => import('./admin/Admin.svelte') },
  { pattern: '/o/venues', own: true, load: () => import('./organizer/venue/Venues.svelte') },
  { pattern: '/o/venues/new', own: true, load: () => import('./organizer/venue/NewVenue.svelte') },
  { pattern: '/o/venues/{venueId}', own: true, load: () => import('./organizer/venue/Venue.svelte') },
  { pattern: '/o/venues/{venueId}/plan', own: true, load: () => import('./organizer/venue/PlanReplacing.svelte') },
  { pattern: '/o/performances/new', own: true, load: () => import('./organizer/performance/NewPerformance.svelte') },
  { pattern: '/o/performances/{performanceId}', own: true, load: () => import('./organizer/performance/Performance.svelte') },
  { pattern: '/o/performances/{performanceId}/schedules/new', own: true, load: () => import('./organizer/schedule/NewSchedule.svelte') },
  { pattern: '/o/s/{scheduleId}/edit', own: true, load: () => import('./organizer/schedule/Schedule.svelte') },
  { pattern: '/admin/journal/{scheduleId}', own: true, load: () => import('./admin/journal/AdminJournal.svelte') },
  { pattern: '/o/s/{scheduleId}/journal', own: true, load: () => import('./organizer/live/JournalPage.svelte') },
  { pattern: '/door/{scheduleId}', load: () => import('./door/DoorPage.svelte') },
];

export interface Found {
  readonly route: Route;
  readonly props: Record<string, string>;
}

/** The page at the path, or null where there is none. */
export function found(path: string): Found | null {
  for (const route of ROUTES) {
    const props = match(route.pattern, path);
    if (props !== null) return { route, props };
  }
  return null;
}

/** The page's component. Throws where its file cannot be had for want of a connection; a newer version is loaded anew. */
export async function loaded({ route }: Found): Promise<Page> {
  try {
    return ((await route.load()) as { default: Page }).default;
  } catch (error) {
    if (await connection.isOutdated()) location.reload();
    throw error;
  }
}
