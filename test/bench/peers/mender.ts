import { rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { run, shell } from '../../vm/shell.ts';
import type { Cache } from '../cache.ts';
import type { Contender } from '../contender.ts';
import type { Content } from '../content.ts';
import { LoopSlot } from '../loop-slot.ts';
import type { Nginx } from './nginx.ts';
import type { PeerKeys } from './peer-keys.ts';

const rootBytes = 16 * 1024 * 1024;

/** The image as a Mender artifact, gzip as it is by default. */
export async function packForMender(cache: Cache, content: Content, keys: PeerKeys): Promise<string> {
  return cache.file(`mender-${content.sizeBytes}.mender`, async (path) => {
    const names = ['--device-type', 'bench', '--artifact-name', 'v1', '--no-progress', '--compression', 'gzip'];
    const write = ['write', 'rootfs-image', ...names, '--file', content.file, '--key', keys.rsaKey];
    await run('mender-artifact', ...write, '--output-path', path);
  });
}

const printenv = `#!/bin/sh
# fw_printenv over a file: Mender needs a U-Boot environment.
file=$(dirname "$0")/environment
[ $# = 0 ] && exec cat "$file"
for name; do grep "^$name=" "$file" || { echo "## Error: \\"$name\\" not defined" >&2; exit 1; }; done
`;

const setenv = `#!/bin/sh
# fw_setenv over the same file. With -s it takes lines of NAME=VALUE or NAME VALUE, as the versions of it do.
# Mender tries which.
file=$(dirname "$0")/environment
put() { grep -v "^$1=" "$file" > "$file.new"; echo "$1=$2" >> "$file.new"; mv "$file.new" "$file"; }
if [ "$1" = -s ]; then
  cat "$2" | while IFS=' =' read -r name value || [ -n "$name" ]; do put "$name" "$value"; done
else
  put "$1" "$2"
fi
`;

/**
 * Mender's client, standing alone: `mender install URL` in a root of its own on slot A, as it takes the device of `/` for
 * the booted one.
 */
export async function mender(
  folder: string,
  slot: LoopSlot,
  artifact: string,
  keys: PeerKeys,
  server: Nginx,
): Promise<Contender> {
  await shell(`mkdir -p ${folder}/bin ${folder}/mount`);
  await writeFile(join(folder, 'bin/fw_printenv'), printenv, { mode: 0o755 });
  await writeFile(join(folder, 'bin/fw_setenv'), setenv, { mode: 0o755 });
  const root = await makeRoot(folder);
  const config = { RootfsPartA: root.device, RootfsPartB: slot.device, ArtifactVerifyKey: keys.publicKey };
  await writeFile(join(folder, 'mender.conf'), JSON.stringify({ ...config, ServerURL: 'http://127.0.0.1:1' }));
  const script = `
    mount ${root.device} ${folder}/mount
    for name in usr proc dev tmp var/cache; do mount --rbind /$name ${folder}/mount/$name; done
    mkdir -p ${folder}/mount${folder} && mount --bind ${folder} ${folder}/mount${folder}
    PATH=${folder}/bin:$PATH exec chroot ${folder}/mount mender --no-syslog --config ${folder}/mender.conf \
      --data ${folder}/data install http://${server.host}/${basename(artifact)}
  `;
  return {
    name: 'mender',
    sources: [artifact],
    daemons: () => [],
    prepare: async () => {
      await rm(join(folder, 'data'), { recursive: true, force: true });
      await shell(`mkdir ${folder}/data && echo device_type=bench > ${folder}/data/device_type`);
      const [number, hex] = [10, 16].map((base) => Number(root.device.replace(/^\D+/, '')).toString(base));
      const variables = { mender_boot_part: number, mender_boot_part_hex: hex, upgrade_available: 0, bootcount: 0 };
      const lines = Object.entries(variables).map(([name, value]) => `${name}=${value ?? ''}\n`);
      await writeFile(join(folder, 'bin/environment'), lines.join(''));
    },
    run: async () => {
      await run('unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script);
      return {};
    },
    close: () => root.close(),
  };
}

/** Slot A: directories to mount the machine's own on, and the name of the artifact that the factory installed. */
async function makeRoot(folder: string): Promise<LoopSlot> {
  const root = await LoopSlot.open(folder, 'root', rootBytes);
  await shell(`
    cd ${folder}
    mkdir -p tree/usr tree/proc tree/dev tree/tmp tree/var/cache tree/etc/mender
    for name in bin sbin lib lib64; do ln -s usr/$name tree/$name; done
    cp /etc/hosts /etc/nsswitch.conf /etc/passwd /etc/group tree/etc/
    echo artifact_name=factory > tree/etc/mender/artifact_info
    mkfs.ext4 -q -F -d tree ${root.device}
  `);
  return root;
}
