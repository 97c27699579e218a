/** The words of the admins' pages, in the language that is read now. */

import { en, type AdminWords } from '../../words/admin/en.ts';
import { ko } from '../../words/admin/ko.ts';
import { language } from '../../words/language.svelte.ts';

export function adminWords(): AdminWords {
  return language.of({ en, ko });
}
