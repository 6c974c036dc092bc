import { AgentError } from '../core/errors.ts';

/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1). Names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly params: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const schemePattern = new RegExp(`[\\t ,]*(${token})(?=[\\t ,]|$)[\\t ]*`, 'y');
const paramPattern = new RegExp(
  `[\\t ,]*(${token})[\\t ]*=[\\t ]*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s",]+))[\\t ]*(?=,|$)`,
  'y',
);
const token68Pattern = /[A-Za-z0-9._~+/-]+=*[\t ]*(?=,|$)/y;
const restPattern = /[\t ,]*$/y;

const limitChars = 8192;

/** Parses a WWW-Authenticate header, commas in quotes included. Throws `registry-protocol-invalid`. */
export function parseChallenges(header: string): readonly Challenge[] {
  const refuse = (reason: string) =>
    new AgentError('registry-protocol-invalid', `cannot read the challenge of the registry: ${reason}`);
  if (header.length > limitChars) throw refuse(`it is longer than ${limitChars} characters`);
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  let position = 0;
  const match = (pattern: RegExp) => {
    pattern.lastIndex = position;
    const found = pattern.exec(header);
    if (found !== null) position = pattern.lastIndex;
    return found;
  };
  while (match(restPattern) === null) {
    const current = challenges.at(-1);
    const param = current === undefined ? null : match(paramPattern);
    if (current !== undefined && param !== null) {
      const name = (param[1] ?? '').toLowerCase();
      if (current.params.has(name)) throw refuse(`${name} comes twice`);
      current.params.set(name, param[3] ?? (param[2] ?? '').replace(/\\(.)/g, '$1'));
      continue;
    }
    const scheme = match(schemePattern);
    if (scheme === null) throw refuse(`it is malformed at character ${position}`);
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), params: new Map() });
    match(token68Pattern);
  }
  return challenges;
}
