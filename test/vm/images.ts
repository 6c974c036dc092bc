import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RealRegistry } from '../system/docker-registry.ts';
import { makeFileSystem, partitions } from './disk.ts';
import { run, shell } from './shell.ts';

const kaonctlProgram = fileURLToPath(new URL('../../package/bin/kaonctl.js', import.meta.url));

/** Where the guest finds what listens on the host's loopback. */
export const hostForGuest = '10.0.2.2';

/** How an image behaves once it is booted. */
export const behaviours = {
  healthy: '',
  /** no init at all: the kernel panics */
  panic:
    'rm -f usr/sbin/init sbin/init usr/bin/init usr/lib/systemd/systemd; rm -f bin/sh usr/bin/sh usr/bin/dash usr/bin/bash',
  /** init is a program that ends at once, before any of its services */
  'dies-early': 'ln -sf /bin/false usr/sbin/init',
  /** a service in front of everything never ends, so that the agent never comes */
  hangs: `printf '[Unit]\\nDefaultDependencies=no\\nBefore=kaond.service\\n[Service]\\nType=oneshot\\nExecStart=/bin/sleep infinity\\nTimeoutStartSec=infinity\\n' > etc/systemd/system/hang.service
    mkdir -p etc/systemd/system/multi-user.target.requires
    ln -sf ../hang.service etc/systemd/system/multi-user.target.requires/hang.service
    mkdir -p etc/systemd/system/kaond.service.d
    printf '[Unit]\\nAfter=hang.service\\nRequires=hang.service\\n' > etc/systemd/system/kaond.service.d/hang.conf`,
  'no-agent': 'rm usr/lib/kaon/bin/kaond',
  'agent-crashes': "printf '#!/bin/sh\\nexit 1\\n' > usr/lib/kaon/bin/kaond",
  'config-refused': "printf 'noSuchKey: 1\\n' >> etc/kaon/kaon.yaml",
  unhealthy: 'touch etc/kaon-is-unhealthy',
} as const;

export type Behaviour = keyof typeof behaviours;

/** An image in the registry, and the file system that it puts onto a slot. */
export interface VmImage {
  readonly version: string;
  /** As the guest names it. */
  readonly reference: string;
  readonly file: string;
}

/** Builds images of the tree and pushes them, each once. */
export class ImageShop {
  readonly #work: string;
  readonly #registry: RealRegistry;
  readonly #made = new Map<string, Promise<VmImage>>();

  constructor(work: string, registry: RealRegistry) {
    this.#work = work;
    this.#registry = registry;
  }

  /** As the guest names the registry. */
  get guestRegistry(): string {
    return this.#registry.host.replace('127.0.0.1', hostForGuest);
  }

  get publicKey(): string {
    return join(this.#work, 'release.pub');
  }

  /** Makes the keys. */
  async open(): Promise<void> {
    for (const name of ['release', 'stranger']) {
      await run(process.execPath, kaonctlProgram, 'keygen', '--output', join(this.#work, name));
    }
  }

  /** The file system of a version, as a factory would write it to a slot. */
  async fileSystem(version: string, behaviour: Behaviour): Promise<string> {
    const tree = join(this.#work, `tree-${version}`);
    const file = join(this.#work, `${version}.img`);
    await shell(`
      cp -a ${this.#work}/root ${tree}
      cd ${tree}
      echo 'VERSION=${version}' > etc/kaon-vm-release
      ${behaviours[behaviour]}
    `);
    await makeFileSystem(tree, file, partitions['slot-a'].sizeMiB);
    await shell(`rm -rf ${tree}`);
    return file;
  }

  /** An image in the registry, signed by `signer`. */
  push(version: string, behaviour: Behaviour, signer: 'release' | 'stranger' = 'release'): Promise<VmImage> {
    const name = `${version}-${behaviour}-${signer}`;
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const made = this.#push(name, behaviour, signer);
    this.#made.set(name, made);
    return made;
  }

  async #push(version: string, behaviour: Behaviour, signer: string): Promise<VmImage> {
    const file = await this.fileSystem(version, behaviour);
    const layout = join(this.#work, `layout-${version}`);
    await mkdir(layout, { recursive: true });
    const kaonctl = (...args: readonly string[]) => run(process.execPath, kaonctlProgram, ...args);
    await kaonctl(
      ...['image', 'build', '--name', 'edge', '--version', version, '--compatible', 'vm', '--level', '1'],
      ...['--partition', `root=${file}`, '--output', layout],
    );
    const onHost = `${this.#registry.host}/os/edge:${version}`;
    await kaonctl('image', 'push', layout, onHost, '--insecure-http');
    await kaonctl('image', 'sign', '--key', join(this.#work, `${signer}.key`), onHost, '--insecure-http');
    await shell(`rm -rf ${layout}`);
    return { version, reference: `${this.guestRegistry}/os/edge:${version}`, file };
  }
}

/** Puts the node's configuration into the tree: what an operator would write. */
export async function configureNode(tree: string, guestRegistry: string, publicKey: string): Promise<void> {
  await mkdir(join(tree, 'etc/kaon'), { recursive: true });
  await shell(`install -m 0644 ${publicKey} ${tree}/etc/kaon/release.pub`);
  await writeFile(
    join(tree, 'etc/kaon/kaon.yaml'),
    `formatVersion: 1
node: { id: vm, compatible: vm }
slots:
  a: { bootName: A, partitions: { root: { device: /dev/disk/by-partlabel/slot-a } } }
  b: { bootName: B, partitions: { root: { device: /dev/disk/by-partlabel/slot-b } } }
bootloader: { type: grub, environment: /efi/grub/grubenv, tries: 2 }
trust:
  keys: { release: { file: /etc/kaon/release.pub } }
  rules: [{ prefix: "${guestRegistry}/os", require: { keys: [release] } }]
registries: { "${guestRegistry}": { insecureHttp: true } }
health:
  deadline: 60s
  checks:
    - { name: well, kind: command, command: [/usr/bin/test, "!", -e, /etc/kaon-is-unhealthy], timeout: 10s, retries: 0 }
    - { name: network, kind: systemd-unit, unit: systemd-networkd.service, timeout: 20s, required: false }
`,
  );
}
