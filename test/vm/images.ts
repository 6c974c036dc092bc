import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RealRegistry } from '../system/docker-registry.ts';
import { makeFileSystem, partitions } from './disk.ts';
import type { VmLoader } from './loader.ts';
import { makeNewer } from './newer-kaon.ts';
import { patience } from './patience.ts';
import { run, shell } from './shell.ts';

/** How many boots a trial gets, and a proven slot between two that renew it. */
export const tries = 2;

/** Where the guest finds what listens on the host's loopback. */
export const hostForGuest = '10.0.2.2';

/** For trials in which no agent ever runs: where Node is in the image, half of it need not be written. */
const withoutNode = 'rm -f usr/lib/kaon/node';

const guardAfter = (seconds: number) =>
  `printf '[Timer]\\nOnBootSec=\\nOnBootSec=${seconds * patience}s\\n' > etc/systemd/system/kaon-trial-guard.timer.d/vm.conf`;

/** For those that the guard ends: it has nobody to wait for. */
const withoutAgent = `${withoutNode}
    ${guardAfter(45)}`;

/** Leaves nothing but what a kernel and its loader need. */
const kernelAlone = 'rm -rf usr/[!l]* usr/lib/[!lmo]*';

/** A service in front of everything never ends, so that the agent never comes. */
const hangs = `${withoutAgent}
    printf '[Unit]\\nDefaultDependencies=no\\nBefore=kaond.service\\n[Service]\\nType=oneshot\\nExecStart=/bin/sleep infinity\\nTimeoutStartSec=infinity\\n' > etc/systemd/system/hang.service
    mkdir -p etc/systemd/system/multi-user.target.requires
    ln -sf ../hang.service etc/systemd/system/multi-user.target.requires/hang.service
    mkdir -p etc/systemd/system/kaond.service.d
    printf '[Unit]\\nAfter=hang.service\\nRequires=hang.service\\n' > etc/systemd/system/kaond.service.d/hang.conf`;

/** Where an image that fails differently in each try marks the first one, and the partition that this is on. */
const triedMark = '/data/vm/tried';
const dataDevice = `/dev/nvme0n1p${partitions.data.number}`;

/** How an image behaves once it is booted. */
export const behaviours = {
  healthy: '',
  /** neither an init nor a shell: the kernel panics */
  panic: kernelAlone,
  /** init is a program that ends at once, before any of its services */
  'dies-early': `mkdir kept
    cp -a --parents usr/bin/false usr/lib/*-linux-gnu/{libc.so.6,ld-linux-*} kept
    ${kernelAlone}
    cp -a kept/usr . && rm -r kept
    mkdir usr/sbin && ln -s /bin/false usr/sbin/init`,
  hangs,
  /** init ends at once in the first try; the second one hangs */
  'dies-then-hangs': `${hangs}
    rm usr/sbin/init
    printf '%s\\n' '#!/bin/sh' 'mount -n -t devtmpfs dev /dev' 'mount -n -t ext4 ${dataDevice} /data' \
      'if [ -e ${triedMark} ]; then umount -n /data; exec /lib/systemd/systemd "$@"; fi' \
      ': > ${triedMark}; sync; exit 1' > usr/sbin/init
    chmod 755 usr/sbin/init`,
  'no-agent': `rm usr/lib/kaon/bin/kaond; ${withoutAgent}`,
  'agent-crashes': `printf '#!/bin/sh\\nexit 1\\n' > usr/lib/kaon/bin/kaond; ${withoutAgent}`,
  /** kaond is missing in the first try, and ends at once in the second one */
  'absent-then-crashes': `ln -sf /run/kaond usr/lib/kaon/bin/kaond; ${withoutAgent}
    printf '%s\\n' '[ ! -e ${triedMark} ] || ln -s /usr/bin/false /run/kaond' ': > ${triedMark}; sync' > usr/lib/count-try
    printf '[Unit]\\nRequiresMountsFor=/data\\nBefore=kaond.service\\n[Service]\\nType=oneshot\\nExecStart=/bin/sh /usr/lib/count-try\\n' > etc/systemd/system/count-try.service
    mkdir -p etc/systemd/system/multi-user.target.wants
    ln -sf ../count-try.service etc/systemd/system/multi-user.target.wants/count-try.service`,
  'config-refused': "printf 'noSuchKey: 1\\n' >> etc/kaon/kaon.yaml",
  unhealthy: 'touch etc/kaon-is-unhealthy',
  /** a unit that runs in every other version fails */
  'unit-fails': 'touch etc/kaon-edge-is-broken',
  /** a script of greenboot's fails; the list of checks is the last thing in the file */
  'greenboot-fails': `mkdir -p etc/greenboot/check/required.d
    printf 'echo the uplink is missing\\nexit 1\\n' > etc/greenboot/check/required.d/01-edge.sh
    echo '    - { name: greenboot, kind: greenboot, retries: 0 }' >> etc/kaon/kaon.yaml`,
  /** passes its trial and is committed; then the scenario's script breaks what a check looks at */
  'breaks-later': `touch etc/kaon-breaks-later
    echo '    - { name: late, kind: command, command: [/usr/bin/test, "!", -e, /run/kaon-vm-broken], timeout: 30s }' >> etc/kaon/kaon.yaml
    echo '  probation: { for: 1h, interval: 10s, onFailure: roll-back }' >> etc/kaon/kaon.yaml`,
  /** its checks go on until a late deadline, and the scenario's script cancels the trial long before, on any machine */
  cancelled: `touch etc/kaon-is-cancelled
    sed -i 's/^  deadline: .*/  deadline: ${200 * patience}s/' etc/kaon/kaon.yaml
    ${guardAfter(260)}
    echo '    - { name: never, kind: command, command: [/usr/bin/test, -e, /run/never], timeout: 10s, interval: 5s }' >> etc/kaon/kaon.yaml`,
  /** well, but for the unit that runs its checks */
  'no-check-unit': `for unit in kaon-check.socket kaon-check.service; do ln -sf /dev/null etc/systemd/system/$unit; done`,
  /** PID 1 stands still once it feeds the watchdog, which then has the kernel panic: a handler of its own stops it at this signal */
  'init-freezes': `${withoutNode}
    echo softdog > etc/modules-load.d/softdog.conf
    echo 'options softdog soft_panic=1 nowayout=1' > etc/modprobe.d/softdog.conf
    printf '[Manager]\\nRuntimeWatchdogSec=20s\\n' > etc/systemd/system.conf.d/vm-watchdog.conf
    printf 'until [ "$(cat /sys/class/watchdog/watchdog0/state)" = active ]; do sleep 1; done\\necho the watchdog is fed\\nkill -SEGV 1\\nsleep infinity\\n' > usr/lib/freeze-init
    printf '[Unit]\\nBefore=kaond.service\\n[Service]\\nType=oneshot\\nExecStart=/bin/bash /usr/lib/freeze-init\\nTimeoutStartSec=infinity\\n' > etc/systemd/system/freeze.service
    mkdir -p etc/systemd/system/multi-user.target.wants
    ln -sf ../freeze.service etc/systemd/system/multi-user.target.wants/freeze.service`,
  /** a newer kaon, which stores more than the older one knows, in an image that fails its check */
  'newer-unhealthy': 'touch etc/kaon-is-unhealthy',
} as const;

export type Behaviour = keyof typeof behaviours;

/** An image in the registry, and the file system that it puts onto a slot. */
export interface VmImage {
  /** Version, behaviour and signer. */
  readonly version: string;
  /** As the guest names it. */
  readonly reference: string;
  readonly file: string;
}

/** What signs the images: by `release.pub` nodes know the one signer, of the other they know nothing. */
export type Signer = 'release' | 'stranger';

/** Makes the keys of all signers in `folder`; `tree` is a root file system with kaon. */
export async function makeKeys(tree: string, folder: string): Promise<void> {
  for (const name of ['release', 'stranger']) await kaonctl(tree, 'keygen', '--output', join(folder, name));
}

/** The program that is installed in `tree`, on this machine's Node: the sources may change while a run goes on. */
async function kaonctl(tree: string, ...args: readonly string[]): Promise<void> {
  await run(process.execPath, join(tree, 'usr/lib/kaon/package/bin/kaonctl.js'), ...args);
}

/** As the guest names a registry of the host. */
export function seenByGuest(registry: RealRegistry): string {
  return registry.host.replace('127.0.0.1', hostForGuest);
}

/** Builds images of the tree of one kind of nodes and pushes them, each once. */
export class ImageShop {
  readonly #loader: VmLoader;
  readonly #folder: string;
  readonly #tree: string;
  readonly #keys: string;
  readonly #registry: RealRegistry;
  readonly #made = new Map<string, Promise<VmImage>>();

  /** `folder` is its own; `keys` holds the keys of the signers. */
  constructor(ports: { loader: VmLoader; folder: string; tree: string; keys: string; registry: RealRegistry }) {
    this.#loader = ports.loader;
    this.#folder = ports.folder;
    this.#tree = ports.tree;
    this.#keys = ports.keys;
    this.#registry = ports.registry;
  }

  /** An image in the registry, signed by `signer`. */
  push(version: string, behaviour: Behaviour, signer: Signer = 'release'): Promise<VmImage> {
    const name = `${version}-${behaviour}-${signer}`;
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const made = this.#push(version, name, behaviour, signer);
    this.#made.set(name, made);
    return made;
  }

  async #push(version: string, name: string, behaviour: Behaviour, signer: Signer): Promise<VmImage> {
    const tree = join(this.#folder, `tree-${name}`);
    const file = join(this.#folder, `${name}.img`);
    const layout = join(this.#folder, `layout-${name}`);
    await makeVersion(this.#tree, tree, version, behaviour);
    await makeFileSystem(tree, file, await sizeForTree(tree), 'read-only');
    await mkdir(layout, { recursive: true });
    await kaonctl(
      this.#tree,
      ...['image', 'build', '--name', 'edge', '--version', version, '--compatible', 'vm', '--level', '1'],
      ...['--partition', `root=${file}`, ...(await this.#loader.imageArguments(tree, this.#folder))],
      ...['--output', layout],
    );
    // A tag of its own: images of one scenario may have one version.
    const path = `os/edge:${this.#loader.kind}-${name}`;
    await kaonctl(this.#tree, 'image', 'push', layout, `${this.#registry.host}/${path}`, '--insecure-http');
    const key = join(this.#keys, `${signer}.key`);
    await kaonctl(this.#tree, 'image', 'sign', '--key', key, `${this.#registry.host}/${path}`, '--insecure-http');
    await shell(`rm -rf ${layout} ${tree}`);
    return { version: name, reference: `${seenByGuest(this.#registry)}/${path}`, file };
  }
}

/** MiB of a file system that a tree just fits into: what is behind it in a slot is zeroed, and not hashed. */
export async function sizeForTree(tree: string): Promise<number> {
  const used = Number((await shell(`du -s -m ${tree} | cut -f 1`)).trim());
  return Math.min(used + 9, partitions['slot-a'].sizeMiB);
}

/** A copy of `tree` that says which version it is, and behaves so. */
export async function makeVersion(tree: string, copy: string, version: string, behaviour: Behaviour): Promise<void> {
  await shell(`
    rm -rf ${copy}
    cp -a ${tree} ${copy}
    cd ${copy}
    echo 'VERSION=${version}' > etc/kaon-vm-release
    ${behaviours[behaviour]}
  `);
  if (behaviour === 'newer-unhealthy') await makeNewer(copy);
}

/** Puts the node's configuration into the tree: what an operator would write. `registry` is as the guest names it. */
export async function configureNode(tree: string, loader: VmLoader, registry: string, keys: string): Promise<void> {
  const configuration = `formatVersion: 1
node: { id: vm, compatible: vm }
slots:
  a: { bootName: A, partitions: { root: { device: /dev/disk/by-partlabel/slot-a } }, ${loader.slotSettings?.a ?? ''} }
  b: { bootName: B, partitions: { root: { device: /dev/disk/by-partlabel/slot-b } }, ${loader.slotSettings?.b ?? ''} }
bootloader: ${loader.configuration}
trust:
  keys: { release: { file: /etc/kaon/release.pub } }
  rules: [{ prefix: "${registry}/os", require: { keys: [release] } }]
registries: { "${registry}": { insecureHttp: true } }
health:
  deadline: ${60 * patience}s
  checks:
    - { name: well, kind: command, command: [/usr/bin/test, "!", -e, /etc/kaon-is-unhealthy], timeout: 30s, retries: 0 }
    - { name: edge, kind: systemd-unit, unit: edge.service, timeout: 20s, interval: 2s, retries: 3 }
    - { name: own-unit, kind: command, command: [/usr/bin/grep, -q, kaon-check.service, /proc/self/cgroup], timeout: 30s, required: false }
    - { name: network, kind: systemd-unit, unit: systemd-networkd.service, timeout: 20s, required: false }
`;
  const files = { 'etc/kaon/kaon.yaml': configuration, ...loader.nodeFiles };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(tree, name, '..'), { recursive: true });
    await writeFile(join(tree, name), text);
  }
  await shell(`install -m 0644 ${keys}/release.pub ${tree}/etc/kaon/release.pub`);
}
