import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { shell } from './shell.ts';

/**
 * An initrd that finds the root of the slot whose image was started, as a node needs it where a loader passes no options:
 * systemd-boot says in LoaderEntrySelected which entry it chose.
 */
const init = `#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
insmod /efivarfs.ko
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
# UTF-16 behind four bytes: kaon-a.efi, kaon-b+2-1.efi, kaon-a.2+0-1.efi
entry=$(tr -d '\\0' </sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f)
case $entry in
*kaon-a*) slot=slot-a ;;
*kaon-b*) slot=slot-b ;;
*) exit 1 ;;
esac
until mount -t ext4 -o ro "PARTLABEL=$slot" /root; do sleep 1; done
umount /sys/firmware/efi/efivars
exec switch_root /root /sbin/init
`;

/** Of this machine, which runs the same distribution: an image that is to panic has no shell of its own. */
const programs = [
  '/bin/sh',
  '/bin/mount',
  '/bin/umount',
  '/sbin/switch_root',
  '/sbin/insmod',
  '/usr/bin/tr',
  '/bin/sleep',
];

/** Makes the initrd for the kernel of `tree`; resolves to its path. */
export async function makeSlotInitrd(tree: string, work: string): Promise<string> {
  const folder = join(work, 'initrd');
  await rm(folder, { recursive: true, force: true });
  for (const name of ['bin', 'dev', 'proc', 'sys', 'root', 'run']) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'init'), init, { mode: 0o755 });
  await shell(`
    cd ${folder}
    for program in ${programs.join(' ')}; do
      cp -L $program bin/
      ldd $program | grep -o '/[^ ]*' | while read -r library; do [ -e ".$library" ] || install -D "$library" ".$library"; done
    done
    cp $(find ${tree}/usr/lib/modules -name 'efivarfs.ko*') efivarfs.ko
    find . | cpio --quiet -o -H newc | gzip -1n >${folder}.cpio.gz
    rm -r ${folder}
  `);
  return `${folder}.cpio.gz`;
}
