/** What of an overview somebody should look at, the worst first; each with the page where something can be done about it. */

import type { Overview } from '../server.ts';

export type Matter =
  | 'noDatabase'
  | 'noVitals'
  | 'failing'
  | 'overallFails'
  | 'parked'
  | 'payments'
  | 'refunds'
  | 'unpublished'
  | 'mailsFailed'
  | 'mails'
  | 'slow'
  | 'queue';

export interface Attention {
  readonly matter: Matter;
  readonly href: string | null;
  readonly count: number;
  readonly since: string | null;
}

// A payment or refund is settled within seconds, mails and events go within one; what waits so long waits for somebody.
const LATE_MS = 60_000;
const SLOW_COMMIT_MS = 250;
const LONG_QUEUE = 1_000; // a fifth of what a schedule's queue holds before requests are turned away

export function attention(overview: Overview): readonly Attention[] {
  const { standing } = overview;
  const found: Attention[] = [];
  const add = (matter: Matter, count: number, href: string | null = null, since: string | null = null) => found.push({ matter, count, href, since });
  const late = (since: string | null) => since !== null && Date.parse(overview.at) - Date.parse(since) >= LATE_MS;
  if (standing === null) add('noDatabase', 0);
  if (!overview.vitals) add('noVitals', 0);
  if (standing !== null) {
    if (standing.failing > 0) add('failing', standing.failing, '/admin/reconciliation');
    if (standing.overall_holds === false) add('overallFails', 0, '/admin/reconciliation');
    if (standing.parked_events > 0) add('parked', standing.parked_events, '/admin/parked-events');
    if (late(standing.payments.oldest_at)) add('payments', standing.payments.count, '/admin/payments', standing.payments.oldest_at);
    if (late(standing.refunds.oldest_at)) add('refunds', standing.refunds.count, '/admin/payments?kind=refunds', standing.refunds.oldest_at);
    if (late(standing.unpublished.oldest_at)) add('unpublished', standing.unpublished.count, null, standing.unpublished.oldest_at);
    if (standing.mails_failed > 0) add('mailsFailed', standing.mails_failed, '/admin/notifications');
    if (late(standing.mails.oldest_at)) add('mails', standing.mails.count, '/admin/notifications', standing.mails.oldest_at);
  }
  if ((overview.slow_commit_ms ?? 0) >= SLOW_COMMIT_MS) add('slow', Math.round(overview.slow_commit_ms ?? 0));
  if (overview.queue >= LONG_QUEUE) add('queue', overview.queue);
  return found;
}
