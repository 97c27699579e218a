// What of an overview needs somebody: late things, failed checks, and what is away; nothing where all is well.
import assert from 'node:assert/strict';
import test from 'node:test';
import { attention } from '../../../api/web/src/admin/overview/attention.ts';
import type { Overview } from '../../../api/web/src/admin/server.ts';

const none = { count: 0, oldest_at: null, amounts: {} };
const AT = '2026-11-22T14:05:40.000+00:00';
const LATE = { count: 2, oldest_at: '2026-11-22T14:04:40.000+00:00', amounts: {} };
const SOON = { count: 2, oldest_at: '2026-11-22T14:05:39.000+00:00', amounts: {} };
const well = { unpublished: SOON, payments: SOON, refunds: none, mails: SOON, mails_failed: 0, parked_events: 0, examined: 9, failing: 0, oldest_examination_at: AT, overall_holds: true };
const quiet = { at: AT, vitals: true, queue: 12, slow_commit_ms: 9, standing: well };

const CASES: readonly (readonly [what: string, overview: object, matters: readonly string[]])[] = [
  ['all is well, though things are on their way', quiet, []],
  ['nobody has examined the audit log yet', { ...quiet, standing: { ...well, overall_holds: null } }, []],
  ['a check fails', { ...quiet, standing: { ...well, failing: 1 } }, ['failing']],
  ['the audit log is broken', { ...quiet, standing: { ...well, overall_holds: false } }, ['overallFails']],
  ['money waits too long', { ...quiet, standing: { ...well, payments: LATE, refunds: LATE } }, ['payments', 'refunds']],
  ['events and mails wait too long', { ...quiet, standing: { ...well, unpublished: LATE, mails: LATE } }, ['unpublished', 'mails']],
  ['a mail failed and an event is parked', { ...quiet, standing: { ...well, mails_failed: 1, parked_events: 1 } }, ['parked', 'mailsFailed']],
  ['commits are slow and requests queue up', { ...quiet, slow_commit_ms: 400, queue: 2_000 }, ['slow', 'queue']],
  ['no commit yet', { ...quiet, slow_commit_ms: null }, []],
  ['database and Redis are away', { ...quiet, vitals: false, standing: null }, ['noDatabase', 'noVitals']],
];

for (const [what, overview, matters] of CASES) {
  test(what, () => assert.deepEqual(attention(overview as Overview).map(({ matter }) => matter), matters));
}
