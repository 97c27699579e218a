/** The words of the admins' pages, in the language that is read now. */

import { en, type AdminWords } from '../../words/admin/en.ts';
import { ko } from '../../words/admin/ko.ts';
import { language } from '../../words/language.svelte.ts';
import * as reconciliationInKorean from '../../words/admin/reconciliation/ko.ts';
import { told, type Part } from '../reconciliation/told.ts';

export function adminWords(): AdminWords {
  return language.of({ en, ko });
}

/** What reconciliation says, from what it is made of; in English it comes as it is read. */
export function reconciled(text: string, parts: readonly Part[] | undefined): string {
  return told(text, parts, language.of({ en: null, ko: reconciliationInKorean }));
}
