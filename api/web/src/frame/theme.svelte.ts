/** Light or dark: as the system says, unless the reader has said otherwise on this device. */

import { onDevice } from '../storage.ts';

export type Theme = 'system' | 'light' | 'dark';
const STORED = 'boxoffice.theme';

function stored(): Theme {
  const value = onDevice.getItem(STORED);
  return value === 'light' || value === 'dark' ? value : 'system';
}

class ThemeChoice {
  #chosen = $state<Theme>(stored());

  get chosen(): Theme {
    return this.#chosen;
  }

  choose(theme: Theme): void {
    this.#chosen = theme;
    if (theme === 'system') onDevice.removeItem(STORED);
    else onDevice.setItem(STORED, theme);
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset['theme'] = this.#chosen;
  }
}

export const theme = new ThemeChoice();
