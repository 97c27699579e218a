/** What reconciliation says in the language of whoever reads. The Korean words are loaded by its own pages only. */

import * as ko from '../../words/admin/reconciliation/ko.ts';
import { language } from '../../words/language.svelte.ts';
import { told, type Part } from './told.ts';

/** From what a sentence is made of; in English it comes as it is read. */
export function reconciled(text: string, parts: readonly Part[] | undefined): string {
  return told(text, parts, language.of({ en: null, ko }));
}
