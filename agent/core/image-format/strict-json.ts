/** Deepest nesting of a document; those of OCI have six levels. */
const maxDepth = 32;

const quote = 0x22;
const backslash = 0x5c;

/** Where the text that begins with the quote at `start` ends: behind its closing quote. */
function endOfText(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    at += code === backslash ? 2 : 1;
  }
  return text.length;
}

function keyOf(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  try {
    return JSON.parse(literal) as string;
  } catch {
    // The parser that comes after says so better.
    return literal;
  }
}

/**
 * What makes JSON mean different things to different readers, in words, or `undefined`: a key that comes twice in an
 * object, a key `__proto__`, or a nesting of more than 32 levels. For texts that are no JSON it says nothing of use.
 */
export function ambiguityOf(text: string): string | undefined {
  /** For each open object the keys that it has, for each open array nothing. */
  const open: (Set<string> | undefined)[] = [];
  let isKeyNext = false;
  for (let at = 0; at < text.length;) {
    const character = text[at];
    if (character === '"') {
      const end = endOfText(text, at);
      const keys = open.at(-1);
      if (isKeyNext && keys !== undefined) {
        const key = keyOf(text.slice(at, end));
        if (key === '__proto__') return 'it has a key __proto__';
        if (keys.has(key)) return `its key ${JSON.stringify(key.slice(0, 64))} comes twice in one object`;
        keys.add(key);
      }
      isKeyNext = false;
      at = end;
      continue;
    }
    if (character === '{' || character === '[') {
      if (open.length === maxDepth) return `it is nested more than ${maxDepth} levels deep`;
      open.push(character === '{' ? new Set() : undefined);
      isKeyNext = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === ',') {
      isKeyNext = open.at(-1) !== undefined;
    }
    at += 1;
  }
  return undefined;
}
