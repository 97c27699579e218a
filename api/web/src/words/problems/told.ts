/** A problem's words for people, in the language that is read. */

import { OFFLINE, type Problem } from '../../api/problem.ts';
import { language } from '../language.svelte.ts';
import { en } from './en.ts';
import { ko } from './ko.ts';

export function titleOf({ code, document }: Problem): string {
  const words = language.words.frame;
  return document.title || (code === OFFLINE ? words.offlineTitle : words.unreadableTitle);
}

export function detailOf({ code, document }: Problem): string {
  const words = language.words.frame;
  const own = language.of({ en, ko }).details[code];
  if (own !== undefined) return own(document);
  return document.detail || (code === OFFLINE ? words.offlineDetail : words.unreadableDetail);
}

/** What is wrong with each field. */
export function faultsOf({ document }: Problem): readonly string[] {
  const { fields } = language.of({ en, ko });
  return (document.errors ?? []).map(({ field, message }) => `${fields[field.split('.')[0] ?? ''] ?? field}: ${message}`);
}
