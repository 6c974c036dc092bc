import type { DetectedLoader } from '../../bootloader/detect.ts';
import { printable } from './format-values.ts';

/** The loaders that were found, with their reasons and what to configure. */
export function renderDetected(found: readonly DetectedLoader[]): string {
  if (found.length === 0) return 'no loader was found that kaon knows\n';
  return found
    .map(({ type, confidence, reasons, settings }) => {
      const lines = reasons.map((reason) => `  - ${printable(reason)}\n`).join('');
      const pairs = Object.entries({ type, ...settings }).map(([name, value]) => `${name}: ${settingText(value)}`);
      return `${type}, ${confidence}:\n${lines}  configure with: bootloader: { ${pairs.join(', ')} }\n`;
    })
    .join('');
}

function settingText(value: DetectedLoader['settings'][string]): string {
  if (typeof value === 'string') return printable(value);
  const pairs = Object.entries(value).map(([name, text]) => `${name}: ${printable(text)}`);
  return `{ ${pairs.join(', ')} }`;
}
