import type { DetectedLoader } from '../../bootloader/detect.ts';
import type { StatusAnswer } from './answers.ts';
import { formatTime, printable } from './format-values.ts';

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

const shownBy: Readonly<Record<string, string>> = {
  boot: 'in a boot',
  trial: 'in a trial',
  'self-test': 'in a test',
};

/** What is known of the loader's counting, in one sentence. */
export function loaderText({ hasLoaderCounted, loader, slots }: StatusAnswer): string {
  if (hasLoaderCounted === false) {
    return 'the loader did not count this boot: it cannot write back, and a trial would never fall back';
  }
  if (loader?.isTestPending === true) return 'a test of the loader was begun: the next boot shows its result';
  if (hasLoaderCounted === true) return 'the loader counted this boot';
  const when = loader?.provenAt === undefined ? '' : ` at ${formatTime(loader.provenAt)}`;
  if (loader?.isProven === true) return `the loader wrote back ${shownBy[loader.by ?? ''] ?? 'in a boot'}${when}`;
  if (loader?.isProven === false) {
    return `the loader did not write back ${shownBy[loader.by ?? ''] ?? 'in a boot'}${when}: it cannot, or it counts trials alone, or the power went before the reboot; test it again, or try an update on a node at hand`;
  }
  if (slots.length === 0) return 'not known: the loader cannot be read now';
  if (loader?.isTestable === false) return 'not known yet: this loader counts trials alone, and the first one shows it';
  return 'not known yet: kaonctl bootloader selftest --reboot shows it, or the next boot where each boot is counted';
}
