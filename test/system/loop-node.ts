import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type NodeSlot, SimulatedNode, until } from '../fakes/simulated-node.ts';
import { type LoopLoader, loopGrub } from './loop-loaders.ts';

const run = promisify(execFile);

/** Sizes of the slots' partitions: no two are the same, and one is no multiple of 4 KiB. */
const sizes: Readonly<Record<NodeSlot, Readonly<Record<string, number>>>> = {
  a: { boot: 4 * 1024 * 1024, root: 40 * 1024 * 1024 },
  b: { boot: 5 * 1024 * 1024 + 512, root: 48 * 1024 * 1024 },
};

/** The contents of a system's partitions. */
export interface SystemContent {
  readonly version: string;
  readonly files: Readonly<Record<string, string>>;
  readonly bytes: Readonly<Record<string, Buffer>>;
}

export type Behaviour = 'healthy' | 'unhealthy' | 'dies-early';

/** An update as the API tells of it. */
export interface UpdateAnswer {
  readonly phase: string;
  readonly request: { readonly id: string };
  readonly outcome?: { readonly result: string; readonly code?: string };
}

/** A node on loop devices, started by GRUB itself; only the kernel and what it would run are missing. */
export class LoopNode {
  readonly folder: string;
  readonly node: SimulatedNode;
  readonly #devices: Record<NodeSlot, Record<string, string>> = { a: {}, b: {} };
  readonly #service: Server;
  readonly #loader: LoopLoader;
  /** Resolves before the service answers, so that a trial can be held. */
  serviceGate: Promise<void> = Promise.resolve();

  private constructor(folder: string, loader: LoopLoader) {
    this.folder = folder;
    this.#loader = loader;
    this.node = new SimulatedNode({
      folder,
      firmware: () => loader.boot(folder),
      systemIn: async (slot) => {
        const found = await this.#headOf(slot);
        return found && { version: found.version, staysUp: found.behaviour !== 'dies-early' };
      },
    });
    this.#service = createServer((_request, response) => {
      void this.serviceGate
        .then(() => this.#headOf(this.node.booted))
        .then((found) => response.writeHead(found?.behaviour === 'healthy' ? 200 : 503).end('what the service says'));
    });
  }

  /** Makes the devices, puts the factory's system into slot a, and provisions the loader by its own tool. */
  static async open(loader: LoopLoader = loopGrub): Promise<LoopNode> {
    const folder = await mkdtemp(join(tmpdir(), 'kaon-loop-'));
    const loop = new LoopNode(folder, loader);
    await loader.provision(folder);
    const factory = await loop.makeSystem('factory', 'healthy');
    for (const slot of ['a', 'b'] as const) {
      for (const [name, sizeBytes] of Object.entries(sizes[slot])) {
        const device = await loop.#attach(`${slot}-${name}`, sizeBytes);
        loop.#devices[slot][name] = device;
        const content = slot === 'a' ? (factory.files[name] ?? '') : '/dev/urandom';
        await run('dd', [`if=${content}`, `of=${device}`, 'bs=1M', 'count=3', 'iflag=fullblock', 'conv=fsync']);
      }
    }
    await new Promise<void>((resolve) => loop.#service.listen(0, '127.0.0.1', resolve));
    return loop;
  }

  device(slot: NodeSlot, partition: string): string {
    return this.#devices[slot][partition] ?? '';
  }

  /** Writes the configuration for images of `registries`, signed with the key in `publicKey`, and powers on. */
  async powerOn(publicKey: string, registries: Readonly<Record<string, string>>, changes = ''): Promise<void> {
    const slot = (name: NodeSlot) =>
      Object.entries(this.#devices[name])
        .map(([part, device]) => `${part}: { device: ${device} }`)
        .join(', ');
    const hosts = Object.entries(registries);
    await this.node.provision(`formatVersion: 1
node: { id: loop, compatible: system-board }
stateDir: ${this.folder}/state
slots:
  a: { bootName: A, partitions: { ${slot('a')} } }
  b: { bootName: B, partitions: { ${slot('b')} } }
bootloader: ${this.#loader.config(this.folder)}
trust:
  keys: { release: { file: ${publicKey} } }
  rules: [${hosts.map(([host]) => `{ prefix: "${host}/os", require: { keys: [release] } }`).join(', ')}]
registries: { ${hosts.map(([host, more]) => `"${host}": { insecureHttp: true${more} }`).join(', ')} }
health:
  deadline: 60s
  checks:
    - { name: service, kind: http, url: "http://127.0.0.1:${(this.#service.address() as AddressInfo).port}/", timeout: 30s, interval: 200ms, retries: 1 }
update: { retry: { base: 1s } }
api: { socket: ${this.folder}/run/kaon.sock }
${changes}`);
    await this.node.powerOn();
    await this.agentUp();
  }

  async agentUp(): Promise<void> {
    await until('the agent', 60_000, () => this.node.read('/healthz'));
  }

  /** Ends the node, and detaches and removes everything it was made of. */
  async close(): Promise<void> {
    await this.node.powerOff();
    this.#service.close();
    this.#service.closeAllConnections();
    for (const device of Object.values(this.#devices).flatMap((slot) => Object.values(slot))) {
      await run('losetup', ['--detach', device]);
    }
    await rm(this.folder, { recursive: true });
  }

  /** The partitions of a system: random bytes behind a line that says what it is, for the firmware and the service. */
  async makeSystem(version: string, behaviour: Behaviour, rootBytes = 3 * 1024 * 1024): Promise<SystemContent> {
    const directory = join(this.folder, `system-${version}`);
    await mkdir(directory, { recursive: true });
    const made = await Promise.all(
      Object.entries({ boot: 3 * 1024 * 1024, root: rootBytes }).map(async ([name, sizeBytes]) => {
        const bytes = randomFillSync(Buffer.alloc(sizeBytes));
        bytes.write(`system ${name} version=${version} behaviour=${behaviour}\n`, 0, 'latin1');
        const file = join(directory, name);
        await writeFile(file, bytes);
        return { name, file, bytes };
      }),
    );
    return {
      version,
      files: Object.fromEntries(made.map(({ name, file }) => [name, file])),
      bytes: Object.fromEntries(made.map(({ name, bytes }) => [name, bytes])),
    };
  }

  /** Whether the devices of a slot hold exactly `system`, and zeros behind it. */
  async holds(slot: NodeSlot, system: SystemContent): Promise<boolean> {
    for (const [name, bytes] of Object.entries(system.bytes)) {
      const found = await readFile(this.device(slot, name));
      if (!found.subarray(0, bytes.byteLength).equals(bytes)) return false;
      if (!found.subarray(bytes.byteLength).every((byte) => byte === 0)) return false;
    }
    return true;
  }

  /** The loader's variables, by its own tool. */
  async loader(): Promise<Readonly<Record<string, string>>> {
    const { stdout } = await run('grub-editenv', [join(this.folder, 'grubenv'), 'list']);
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split('=', 2) as [string, string]),
    );
  }

  /** The newest update; `undefined` while nobody answers or there is none. */
  async newest(): Promise<UpdateAnswer | undefined> {
    const updates = (await this.node.read('/v1/updates?limit=1')) as readonly UpdateAnswer[] | undefined;
    return updates?.[0];
  }

  /** Waits for the end of the newest update, over all reboots. */
  async outcome(): Promise<NonNullable<UpdateAnswer['outcome']>> {
    return until('the end of the update', 90_000, async () => {
      const newest = await this.newest();
      return newest?.phase === 'idle' ? newest.outcome : undefined;
    });
  }

  async #attach(name: string, sizeBytes: number): Promise<string> {
    const path = join(this.folder, `${name}.img`);
    const file = await open(path, 'w');
    await file.truncate(sizeBytes);
    await file.close();
    const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', path]);
    return stdout.trim();
  }

  async #headOf(slot: NodeSlot): Promise<{ version: string; behaviour: string } | undefined> {
    const device = await open(this.device(slot, 'root'), 'r');
    try {
      const { buffer, bytesRead } = await device.read(Buffer.alloc(512), 0, 512, 0);
      const found = /^system root version=(\S+) behaviour=(\S+)\n/.exec(buffer.toString('latin1', 0, bytesRead));
      return found === null ? undefined : { version: found[1] ?? '', behaviour: found[2] ?? '' };
    } finally {
      await device.close();
    }
  }
}
