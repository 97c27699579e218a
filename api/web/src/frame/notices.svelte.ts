/**
 * What the page tells in passing, seen and heard.
 *
 *     notices.say('The seats are yours until 14:10')      a line at the bottom for a few seconds, and read out
 *     notices.announce('Row 7 seat 12 has just gone')     read out only
 */

const SHOWN_MS = 6_000;

interface Notice {
  readonly id: number;
  readonly text: string;
}

class Notices {
  shown = $state<Notice[]>([]);
  /** What a screen reader reads now. */
  spoken = $state('');
  #next = 0;

  say(text: string): void {
    const id = this.#next++;
    this.shown = [...this.shown.slice(-2), { id, text }];
    this.announce(text);
    setTimeout(() => this.dismiss(id), SHOWN_MS);
  }

  announce(text: string): void {
    // The same words twice are read once unless they differ: a no-break space makes them.
    this.spoken = this.spoken === text ? `${text}\u00a0` : text;
  }

  dismiss(id: number): void {
    this.shown = this.shown.filter((each) => each.id !== id);
  }
}

export const notices = new Notices();
