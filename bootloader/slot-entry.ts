import { type BlsEntry, parseEntry } from './bls-entry.ts';

/** What a slot is started from where the loader reads only its own partition. Paths are below the partition's root. */
export interface SlotEntry {
  /** What a menu shows. */
  readonly title: string;
  /** A kernel, or a unified kernel image. */
  readonly start: { readonly role: 'kernel' | 'uki'; readonly path: string };
  /** In the order that they are loaded. */
  readonly initrds: readonly string[];
  readonly devicetree: string | undefined;
  /** The kernel's command line. */
  readonly options: string;
}

/**
 * A Type 1 entry for a slot; sort key and version come when it is listed. A unified kernel image is started as `efi`,
 * which every version of systemd-boot knows; without Secure Boot its stub takes `options` in place of its own.
 */
export function formatSlotEntry({ title, start, initrds, devicetree, options }: SlotEntry): BlsEntry {
  const lines = [
    `title ${inOneLine(title)}`,
    `${start.role === 'uki' ? 'efi' : 'linux'} /${start.path}`,
    ...initrds.map((path) => `initrd /${path}`),
    ...(devicetree === undefined ? [] : [`devicetree /${devicetree}`]),
    ...(options === '' ? [] : [`options ${inOneLine(options)}`]),
  ];
  return parseEntry(Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1'));
}

/** A text of an image must not become a line of its own. */
function inOneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
