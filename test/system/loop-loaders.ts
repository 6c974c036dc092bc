import { execFile } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bootGpt } from '../fakes/gpt-firmware.ts';
import type { NodeSlot } from '../fakes/simulated-node.ts';
import { bootRealGrub } from './real-grub.ts';

const run = promisify(execFile);

/** The loader of a node on loop devices: provisioned by its own tool, with slot a proven and slot b bad. */
export interface LoopLoader {
  provision(folder: string): Promise<void>;
  /** What stands under `bootloader` in the configuration. */
  config(folder: string): string;
  /** One start of the firmware: it counts, and says which slot starts. */
  boot(folder: string): Promise<NodeSlot>;
}

/** GRUB itself runs our script against the environment. */
export const loopGrub: LoopLoader = {
  provision: async (folder) => {
    const environment = join(folder, 'grubenv');
    await run('grub-editenv', [environment, 'create']);
    const values = ['ORDER=A B', 'A_OK=1', 'A_LEFT=4', 'B_OK=0', 'B_LEFT=0', 'kaon_trial=-', 'kaon_tries=0'];
    await run('grub-editenv', [environment, 'set', ...values, 'saved_entry=0']);
  },
  config: (folder) => `{ type: grub, environment: ${folder}/grubenv, tries: 4 }`,
  boot: async (folder) => {
    const environment = join(folder, 'grubenv');
    const { started, block } = await bootRealGrub(await readFile(environment));
    await writeFile(environment, block, { flag: 'r+' });
    if (started !== 'A' && started !== 'B') throw new Error(`GRUB chose ${started}`);
    return started === 'A' ? 'a' : 'b';
  },
};

const flatcarType = '5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6';
const guids = { a: 'AAAAAAAA-0001-4000-8000-00000000000A', b: 'BBBBBBBB-0002-4000-8000-00000000000B' };

/** A disk that sgdisk partitioned, behind a loop device whose number `provision` learns. */
export class LoopGpt implements LoopLoader {
  #device = '';

  /** The loop device of the whole disk. */
  get device(): string {
    return this.#device;
  }

  async provision(folder: string): Promise<void> {
    const path = join(folder, 'gpt.img');
    const file = await open(path, 'w');
    await file.truncate(16 * 1024 * 1024).finally(() => file.close());
    const partitions = Object.values(guids).flatMap((guid, index) => {
      const number = index + 1;
      return ['-n', `${number}:0:+4M`, '-t', `${number}:${flatcarType}`, '-u', `${number}:${guid}`];
    });
    await run('sgdisk', ['--clear', ...partitions, '-A', '1:set:48', '-A', '1:set:56', path]);
    this.#device = (await run('losetup', ['--find', '--show', path])).stdout.trim();
  }

  config(): string {
    return `{ type: gpt, disk: ${this.#device}, partitions: { a: ${guids.a}, b: ${guids.b} }, tries: 3 }`;
  }

  /** gptprio, in simulation: no tool of Debian's chooses by these bits. */
  async boot(): Promise<NodeSlot> {
    const { started, disk } = bootGpt(
      { rules: 'gptprio', blockBytes: 512, type: flatcarType },
      await readFile(this.#device),
    );
    await writeFile(this.#device, disk, { flag: 'r+', flush: true });
    if (started === 'rescue') throw new Error('no slot may boot');
    return started === guids.a ? 'a' : 'b';
  }

  /** The attributes of both slots, as sgdisk shows them. */
  async flags(): Promise<readonly (string | undefined)[]> {
    const infos = await Promise.all(['1', '2'].map((number) => run('sgdisk', ['-i', number, this.#device])));
    return infos.map(({ stdout }) => /Attribute flags: ([0-9A-F]{16})/.exec(stdout)?.[1]);
  }

  async verify(): Promise<string> {
    return (await run('sgdisk', ['--verify', this.#device])).stdout;
  }

  async close(): Promise<void> {
    await run('losetup', ['--detach', this.#device]);
  }
}
