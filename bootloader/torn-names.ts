/**
 * The short name that is left of a long one on FAT. A long name lies in directory entries before the short one, with a
 * checksum of it; where power cut them apart, a system lists the short name alone, as `fsck.vfat -a` leaves it, too. It
 * has at most six characters of the long name, `~` and a digit, and three characters of what is behind its last dot.
 * Dots and blanks are left out, and characters that a short name can't have, as `+`, are `_` (Microsoft's FAT
 * specification, basis-name and numeric-tail). `KAON-B~1.EFI` is what is left of `kaon-b+2-1.efi`.
 */

const keptCharacters = 6;

/** Whether `file` looks like a short name that is left of some long one. */
export function looksTorn(file: string): boolean {
  return /^[^. ]{1,6}~[1-9](\.[^. ]{1,3})?$/.test(file);
}

/**
 * Whether `file` is what can be left of a name that begins with `id`, with or without a counter behind it, and ends in
 * `extension`, of which three characters count. It can't be told where the six characters are not enough for all of `id`.
 */
export function isTornNameOf(id: string, extension: string, file: string): boolean {
  const base = basisOf(id);
  const [, stem = '', suffix = ''] = /^([^.]{1,6})~[1-9]\.([^.]{1,3})$/.exec(file.toUpperCase()) ?? [];
  if (base.length > keptCharacters || suffix !== extension.slice(0, 3).toUpperCase()) return false;
  return stem.startsWith(base) && /^[0-9_-]*$/.test(stem.slice(base.length));
}

function basisOf(id: string): string {
  return id
    .toUpperCase()
    .replace(/[. ]/g, '')
    .replace(/[+,;=[\]]/g, '_');
}
