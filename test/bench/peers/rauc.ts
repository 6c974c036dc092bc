import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../../fakes/simulated-node.ts';
import { shell } from '../../vm/shell.ts';
import type { Cache } from '../cache.ts';
import type { Contender } from '../contender.ts';
import type { Content } from '../content.ts';
import type { LoopSlot } from '../loop-slot.ts';
import type { PeerKeys } from './peer-keys.ts';

/** The image as a plain bundle: the other formats of RAUC need device-mapper. */
export async function packForRauc(cache: Cache, content: Content, keys: PeerKeys): Promise<string> {
  return cache.file(`rauc-${content.sizeBytes}.raucb`, async (path, folder) => {
    await shell(`
      mkdir ${folder}/bundle
      ln ${content.file} ${folder}/bundle/root.img || cp ${content.file} ${folder}/bundle/root.img
      printf '[update]\\ncompatible=bench\\nversion=1\\n[bundle]\\nformat=plain\\n[image.rootfs]\\nfilename=root.img\\n' \
        > ${folder}/bundle/manifest.raucm
      rauc bundle --cert=${keys.certificate} --key=${keys.key} ${folder}/bundle ${path} 2>&1
    `);
  });
}

const backend = `#!/bin/sh
# What RAUC asks of a bootloader, kept in files beside this script.
cd "$(dirname "$0")" || exit 1
case $1 in
  get-primary) cat primary 2>/dev/null || echo A ;;
  set-primary) echo "$2" > primary ;;
  get-state) cat "state-$2" 2>/dev/null || echo good ;;
  set-state) echo "$3" > "state-$2" ;;
  get-current) echo A ;;
esac
`;

const busConfig = (socket: string) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_requested_reply="true"/>
    <allow receive_type="method_call"/><allow receive_type="signal"/>
    <allow receive_type="error"/><allow receive_type="method_return"/>
  </policy>
</busconfig>
`;

/** RAUC: its service on a bus of its own, a bootloader of files, and `rauc install` of a bundle on the disk. */
export async function rauc(
  folder: string,
  booted: LoopSlot,
  slot: LoopSlot,
  bundle: string,
  keys: PeerKeys,
): Promise<Contender> {
  const socket = join(folder, 'bus.sock');
  const environment = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` };
  await shell(`mkdir -p ${folder}`);
  await writeFile(join(folder, 'bus.conf'), busConfig(socket));
  await writeFile(join(folder, 'backend.sh'), backend, { mode: 0o755 });
  await writeFile(join(folder, 'system.conf'), systemConfig(folder, booted, slot, keys));
  const bus = spawn('dbus-daemon', [`--config-file=${folder}/bus.conf`, '--nofork', '--nopidfile'], {
    stdio: 'ignore',
  });
  await until('the bus of rauc', 10_000, async () => (existsSync(socket) ? true : undefined));
  let service: ChildProcess | undefined;
  const restart = async () => {
    await end(service);
    // Its memory of what is in the slot, which would let it skip the write.
    await rm(join(folder, 'status'), { force: true });
    service = spawn('rauc', [`--conf=${folder}/system.conf`, '--override-boot-slot=A', 'service'], {
      stdio: 'ignore',
      env: { ...process.env, ...environment },
    });
    await until('the service of rauc', 10_000, async () =>
      shell('rauc status >/dev/null 2>&1 && echo up', environment).catch(() => undefined),
    );
  };
  return {
    name: 'rauc',
    sources: [bundle],
    daemons: () => [bus.pid ?? 0, service?.pid ?? 0],
    prepare: restart,
    run: async () => {
      await shell(`rauc install ${bundle} 2>&1`, environment);
      return {};
    },
    close: async () => {
      await end(service);
      await end(bus);
    },
  };
}

function systemConfig(folder: string, booted: LoopSlot, slot: LoopSlot, keys: PeerKeys): string {
  return `[system]
compatible=bench
bootloader=custom
bundle-formats=plain
mountprefix=${folder}/mount
statusfile=${folder}/status

[keyring]
path=${keys.certificate}

[handlers]
bootloader-custom-backend=${folder}/backend.sh

[slot.rootfs.0]
device=${booted.device}
type=raw
bootname=A

[slot.rootfs.1]
device=${slot.device}
type=raw
bootname=B
`;
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}
