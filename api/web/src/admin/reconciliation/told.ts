/** What reconciliation says, in the language that is read: the API's own words, or ours from what its sentences are made of. */

export interface Part {
  readonly code: string;
  readonly facts: Readonly<Record<string, string>>;
}

export interface Sentences {
  readonly sentences: Record<string, string>;
  readonly values: Record<string, string>;
}

/** `text` is the API's. A sentence of another release, or without parts, is said as it came. */
export function told(text: string, parts: readonly Part[] | undefined, words: Sentences | null): string {
  if (words === null || parts === undefined || parts.length === 0) return text;
  const said = parts.map(({ code, facts }) =>
    words.sentences[code]?.replace(/\{(\w+)\}/g, (_, name: string) => words.values[facts[name] ?? ''] ?? facts[name] ?? ''),
  );
  return said.includes(undefined) ? text : said.join(', ');
}
