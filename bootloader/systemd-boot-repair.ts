import { valueOf } from './bls-entry.ts';
import type { SlotName } from './bootloader.ts';
import type { Menu, MenuEntry } from './systemd-boot-state.ts';
import { compareVersions } from './version-order.ts';

/**
 * The files to remove where a slot has more than one name. The counted one stays, with the fewest tries of them; the one
 * without a counter stays only where that slot runs and was proven: its version is not below the counted one's.
 */
export function needlessFiles(menu: Menu, booted: SlotName): readonly string[] {
  return (['a', 'b'] as const).flatMap((slot) => {
    const files = menu.entries.filter((entry) => entry.slot === slot);
    const kept = keptFile(
      files.filter(({ isListed }) => isListed),
      slot === booted,
    );
    return files.length < 2 || kept === undefined ? [] : files.filter((each) => each !== kept).map(({ file }) => file);
  });
}

function keptFile(files: readonly MenuEntry[], isBooted: boolean): MenuEntry | undefined {
  const plain = files.find(({ name }) => name.counter === undefined);
  const [counted] = files
    .filter(({ name }) => name.counter !== undefined)
    .toSorted((a, b) => compareVersions(versionOf(b), versionOf(a)) || leftOf(a) - leftOf(b));
  if (plain === undefined || counted === undefined) return plain ?? counted;
  return isBooted && compareVersions(versionOf(plain), versionOf(counted)) >= 0 ? plain : counted;
}

function versionOf({ entry }: MenuEntry): string {
  return valueOf(entry, 'version') ?? '';
}

function leftOf({ name }: MenuEntry): number {
  return name.counter?.left ?? 0;
}
