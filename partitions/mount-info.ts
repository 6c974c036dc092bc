/** Pure parsers of what the kernel tells about mounts, swap and how it was booted. */

/** One line of /proc/self/mountinfo. */
export interface MountEntry {
  /** `major:minor` of the file system; of an anonymous one (btrfs, overlay) major is 0. */
  readonly deviceNumber: string;
  readonly mountPoint: string;
  readonly fileSystem: string;
  /** What was mounted: a device's path, or whatever the file system was told. */
  readonly source: string;
  /** Whether the mount or its file system takes no writes. */
  readonly isReadOnly: boolean;
}

/** The kernel writes space, tab, newline and backslash as `\ooo`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Parses /proc/self/mountinfo (proc_pid_mountinfo(5)); lines that are none are left out. */
export function parseMountInfo(text: string): readonly MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    // Optional fields stand between the sixth and a lone hyphen.
    const hyphen = fields.indexOf('-', 6);
    const [deviceNumber, mountPoint] = [fields[2], fields[4]];
    const [fileSystem, source] = [fields[hyphen + 1], fields[hyphen + 2]];
    if (hyphen < 0 || deviceNumber === undefined || mountPoint === undefined) return [];
    if (fileSystem === undefined || source === undefined || !/^\d+:\d+$/.test(deviceNumber)) return [];
    const isReadOnly = [fields[5], fields[hyphen + 3]].some((options) => options?.split(',').includes('ro') === true);
    return [
      { deviceNumber, mountPoint: unescapeOctal(mountPoint), fileSystem, source: unescapeOctal(source), isReadOnly },
    ];
  });
}

/** Parses /proc/swaps: the paths of devices and files that are swapped to. */
export function parseSwaps(text: string): readonly string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const path = line.split(/\s/, 1)[0];
      return path === undefined || path === '' ? [] : [unescapeOctal(path)];
    });
}

/**
 * The boot name that the kernel was started with (`kaon.slot=` before `rauc.slot=`, the last one where it stands
 * twice, as the kernel itself reads), or `undefined`.
 */
export function parseBootName(cmdline: string): string | undefined {
  // Words after a lone `--` are for init.
  const words = cmdline.trim().split(/\s+/);
  const end = words.indexOf('--');
  const own = end < 0 ? words : words.slice(0, end);
  for (const key of ['kaon.slot=', 'rauc.slot=']) {
    const name = own.findLast((word) => word.startsWith(key))?.slice(key.length);
    if (name !== undefined && name !== '') return name.replace(/^"(.*)"$/, '$1');
  }
  return undefined;
}
