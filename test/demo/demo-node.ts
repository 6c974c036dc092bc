import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { type NodeSlot, SimulatedNode } from '../fakes/simulated-node.ts';
import { type PartitionName, partitions, readSystem, type SystemFiles } from './demo-images.ts';

const tries = 3;

/** The demo's node: files as slots, GRUB's rules over an environment block, a service that answers as the image is. */
export class DemoNode {
  readonly folder: string;
  readonly node: SimulatedNode;
  readonly #service: Server;

  constructor(folder: string, say: (line: string) => void) {
    this.folder = folder;
    this.node = new SimulatedNode({
      folder,
      say,
      firmware: () => this.#startFirmware(),
      systemIn: async (slot) => {
        const system = await readSystem(this.slotFile(slot, 'root'));
        return system && { version: system.version, staysUp: system.behaviour !== 'dies-early' };
      },
      agentOptions: ['--allow-file-slots'],
    });
    this.#service = createServer((_request, response) => {
      void readSystem(this.slotFile(this.node.booted, 'root')).then((system) => {
        const isWell = system?.behaviour === 'healthy';
        response.writeHead(isWell ? 200 : 503).end(isWell ? 'ready\n' : 'the database of this version does not open\n');
      });
    });
  }

  slotFile(slot: NodeSlot, partition: PartitionName): string {
    return join(this.folder, `slot-${slot}-${partition}.img`);
  }

  /** Makes the node as a factory does: `system` in slot a, slot b empty, the loader provisioned, `registry` trusted. */
  async provision(system: SystemFiles, registry: string, keys: { release: string; fleet: string }): Promise<void> {
    for (const slot of ['a', 'b'] as const) {
      for (const [name, { sizeBytes }] of Object.entries(partitions) as [PartitionName, { sizeBytes: number }][]) {
        const file = this.slotFile(slot, name);
        if (slot === 'a') await copyFile(system.files[name], file);
        else await (await open(file, 'w')).close();
        await truncate(file, sizeBytes);
      }
    }
    const variables = `ORDER=A B\nA_OK=1\nA_LEFT=${tries}\nB_OK=0\nB_LEFT=0\nkaon_trial=-\nkaon_tries=0\n`;
    const block = `# GRUB Environment Block\n${variables}`.padEnd(1024, '#');
    await writeFile(join(this.folder, 'grubenv'), block, 'latin1');
    await new Promise<void>((resolve) => this.#service.listen(0, '127.0.0.1', resolve));
    const { port } = this.#service.address() as AddressInfo;
    await this.node.provision(this.#config(registry, keys, port));
  }

  /** Ends everything that was started. */
  async powerOff(): Promise<void> {
    await this.node.powerOff();
    this.#service.close();
    this.#service.closeAllConnections();
  }

  async #startFirmware(): Promise<NodeSlot> {
    const environment = join(this.folder, 'grubenv');
    const script = { dialect: 'kaon', names: ['A', 'B'], full: tries } as const;
    const { started, block } = bootGrub(script, await readFile(environment));
    await writeFile(environment, block, { flag: 'r+' });
    return started === 'B' ? 'b' : 'a';
  }

  #config(registry: string, keys: { release: string; fleet: string }, servicePort: number): string {
    const slot = (name: NodeSlot) =>
      Object.keys(partitions)
        .map((part) => `      ${part}: { device: ${this.slotFile(name, part as PartitionName)}, kind: file }`)
        .join('\n');
    return `formatVersion: 1
node: { id: demo-node, compatible: kaon-demo }
stateDir: ${join(this.folder, 'state')}
slots:
  a:
    bootName: A
    partitions:
${slot('a')}
  b:
    bootName: B
    partitions:
${slot('b')}
bootloader: { type: grub, environment: ${join(this.folder, 'grubenv')}, tries: ${tries} }
trust:
  keys: { release: { file: ${keys.release} } }
  rules:
    - { prefix: ${registry}/os, require: { keys: [release], atLeast: 1 } }
registries:
  "${registry}": { insecureHttp: true }
health:
  deadline: 10s
  checks:
    - { name: service, kind: http, url: "http://127.0.0.1:${servicePort}/ready", timeout: 2s, interval: 300ms, retries: 2 }
    - { name: disk, kind: command, command: [/bin/df, "${this.folder}"], timeout: 2s, required: false }
triggers:
  keys: { fleet: { file: ${keys.fleet}, actions: [stage, activate] } }
api: { socket: ${this.node.socket} }
`;
  }
}
