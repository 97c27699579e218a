/**
 * The language of the pages: the one chosen on this device, else the browser's.
 *
 *     const words = $derived(language.words)         the words of the ground and the customer's pages
 *     const own = $derived(language.of({ en, ko }))  those of a part that brings its own (`src/words/seats/en.ts` …)
 *
 * Words are whole sentences; what changes in one is a parameter of a function. `ko` has the type of `en`, so the compiler
 * sees to it that no sentence is missing.
 */

import { en } from './en.ts';
import { ko } from './ko.ts';
import { onDevice } from '../storage.ts';

export type Language = 'en' | 'ko';
const STORED = 'boxoffice.language';

function first(): Language {
  const stored = onDevice.getItem(STORED);
  if (stored === 'en' || stored === 'ko') return stored;
  const wish = navigator.languages.find((tag) => /^(en|ko)\b/.test(tag));
  return wish?.startsWith('ko') ? 'ko' : 'en';
}

class LanguageChoice {
  #chosen = $state<Language>(first());

  get chosen(): Language {
    return this.#chosen;
  }

  get words(): typeof en {
    return this.of({ en, ko });
  }

  of<T>(both: Record<Language, T>): T {
    return both[this.#chosen];
  }

  /** What an organizer wrote in Korean and perhaps in English, in the language that is read. */
  either(korean: string, english: string | null): string;
  either(korean: string | null, english: string | null): string | null;
  either(korean: string | null, english: string | null): string | null {
    return this.#chosen === 'en' ? (english ?? korean) : korean;
  }

  choose(language: Language): void {
    this.#chosen = language;
    onDevice.setItem(STORED, language);
    this.apply();
  }

  apply(): void {
    document.documentElement.lang = this.#chosen;
  }
}

export const language = new LanguageChoice();
