import { join } from 'node:path';
import type { DemoNode } from './demo-node.ts';
import { examinePartition, type PartitionName, type SystemFiles } from './demo-images.ts';
import { type SimulatedNode, until } from '../fakes/simulated-node.ts';

/** How a command ended. */
type Ended = Awaited<ReturnType<SimulatedNode['kaonctl']>>;

/** What was looked at, and whether it held. */
export interface Check {
  readonly text: string;
  readonly isHeld: boolean;
}

interface UpdateAnswer {
  readonly phase: string;
  readonly outcome?: { readonly result: string; readonly code?: string; readonly message?: string };
}

/** Tells the demo's story: runs commands before everybody's eyes, and keeps what was checked. */
export class Scenario {
  readonly checks: Check[] = [];
  readonly #node: DemoNode;
  readonly #print: (text: string) => void;

  constructor(node: DemoNode, print: (text: string) => void) {
    this.#node = node;
    this.#print = print;
  }

  title(text: string): void {
    this.#print(`\n== ${text}\n`);
  }

  check(text: string, isHeld: boolean): void {
    this.checks.push({ text, isHeld });
    this.#print(`   ${isHeld ? '✓' : '✗ NOT TRUE:'} ${text}\n`);
  }

  /** Runs kaonctl, shows the command and what it said. */
  async kaonctl(...args: readonly string[]): Promise<Ended> {
    this.#print(` $ kaonctl ${args.join(' ')}\n`);
    const ended = await this.#node.node.kaonctl(args, (text) => {
      for (const line of text.split('\n')) if (line !== '') this.#print(`   ${line}\n`);
    });
    return ended;
  }

  /** Waits for the end of the newest update, over all the reboots that it takes. */
  async outcome(): Promise<NonNullable<UpdateAnswer['outcome']>> {
    return until('the end of the update', 60_000, async () => {
      const updates = (await this.#node.node.read('/v1/updates?limit=1')) as readonly UpdateAnswer[] | undefined;
      const newest = updates?.[0];
      return newest?.phase === 'idle' ? newest.outcome : undefined;
    });
  }

  /** Waits until the agent answers. */
  async agentUp(): Promise<void> {
    await until('the agent', 60_000, () => this.#node.node.read('/healthz'));
  }

  /** Whether each partition of the slot holds exactly the system, and nothing behind it. */
  async holds(slot: 'a' | 'b', system: SystemFiles): Promise<boolean> {
    const found = await Promise.all(
      (Object.keys(system.files) as PartitionName[]).map(async (name) => {
        const { digest, isTailZero } = await examinePartition(this.#node.slotFile(slot, name), name);
        return digest === system.digests[name] && isTailZero;
      }),
    );
    return found.every(Boolean);
  }

  /** The digests of both partitions of a slot, to compare. */
  async digests(slot: 'a' | 'b'): Promise<string> {
    const found = await Promise.all(
      (['boot', 'root'] as const).map((name) => examinePartition(this.#node.slotFile(slot, name), name)),
    );
    return JSON.stringify(found);
  }

  /** Builds, pushes and signs an image with the real tools. */
  async publish(system: SystemFiles, image: string, key: string): Promise<string> {
    const layout = join(this.#node.folder, `layout-${system.version}`);
    const parts = Object.entries(system.files).flatMap(([name, file]) => ['--partition', `${name}=${file}`]);
    const built = await this.#quietly(
      ['image', 'build', '--name', 'demo', '--version', system.version, '--compatible', 'kaon-demo', '--level', '1'],
      [...parts, '--output', layout],
    );
    await this.#quietly(['image', 'push', layout, image, '--insecure-http']);
    await this.#quietly(['image', 'sign', '--key', key, image, '--insecure-http']);
    return (JSON.parse(built.stdout) as { readonly digest: string }).digest;
  }

  async #quietly(shown: readonly string[], rest: readonly string[] = []): Promise<Ended> {
    this.#print(` $ kaonctl ${shown.join(' ')}${rest.length > 0 ? ' …' : ''}\n`);
    const ended = await this.#node.node.kaonctl(['--json', ...shown, ...rest]);
    if (ended.exitCode !== 0) throw new Error(`kaonctl ${shown.join(' ')} failed: ${ended.stderr}${ended.stdout}`);
    return ended;
  }
}
