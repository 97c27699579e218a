/** Server-Sent Events as they arrive in pieces, by the standard's rules for lines and fields (WHATWG HTML, 9.2.6). */

export interface Event {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

export class EventReader {
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];

  /** The events that are complete with this piece. */
  take(piece: string): Event[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    const events: Event[] = [];
    for (const line of lines) {
      if (line !== '') this.#field(line);
      else if (this.#data.length > 0) events.push(this.#done());
    }
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id') this.#id = value;
  }

  #done(): Event {
    const event = { event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') };
    this.#event = '';
    this.#data = [];
    return event;
  }
}
