import type { Finding } from './doctor.ts';
import { printable } from './format-values.ts';

/** The findings, one a line, with a fix below each that is not well. */
export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .map(({ name, result, text, fix }) => {
      const line = `${result.padEnd(4)}  ${name.padEnd(width)}  ${printable(text)}\n`;
      return fix === undefined ? line : `${line}${' '.repeat(width + 8)}fix: ${printable(fix)}\n`;
    })
    .join('');
}
