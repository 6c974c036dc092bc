import { readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { type NodeSlot, SimulatedNode, until } from '../fakes/simulated-node.ts';
import type { LoopSlot } from './loop-slot.ts';

/** What the API answered. */
interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: unknown;
}

/** What the bench looks at of the status. */
export interface NodeStatus {
  readonly phase: string;
  readonly current?: { readonly progress?: { readonly fetchedBytes: number; readonly step: string } };
  readonly last?: { readonly result: string; readonly code?: string; readonly message?: string };
}

/** What kaond's unit sets, and kaon-slotd, its child here, gets as well. */
const unitEnvironment = parseEnvironment(
  await readFile(new URL('../../systemd-units/kaond.service', import.meta.url), 'utf8'),
);

/** The variables of the `Environment=` lines of a unit: words without quotes, or one in double quotes. */
export function parseEnvironment(unit: string): Readonly<Record<string, string>> {
  const words = [...unit.matchAll(/^Environment=(.+)$/gm)].flatMap(([, line = '']) => {
    const [, quoted] = /^"([^"]*)"$/.exec(line) ?? [];
    return quoted === undefined ? line.split(' ') : [quoted];
  });
  return Object.fromEntries(words.map((word) => [word.split('=', 1)[0] ?? '', word.slice(word.indexOf('=') + 1)]));
}

/** A node of its own: real kaond and kaon-slotd, slots on loop devices, GRUB's rules over an environment block. */
export class BenchNode {
  readonly node: SimulatedNode;
  readonly #folder: string;
  readonly #slots: Readonly<Record<NodeSlot, LoopSlot>>;
  readonly #hosts: readonly string[];
  readonly #publicKey: string;

  /** `hosts` are where images may come from, signed with the key in `publicKey`. */
  constructor(
    folder: string,
    slots: Readonly<Record<NodeSlot, LoopSlot>>,
    hosts: readonly string[],
    publicKey: string,
  ) {
    this.#folder = folder;
    this.#slots = slots;
    this.#hosts = hosts;
    this.#publicKey = publicKey;
    this.node = new SimulatedNode({
      folder,
      // Certificates that Node is told to add where the bench runs would be counted as memory of kaond's.
      environment: { ...unitEnvironment, NODE_EXTRA_CA_CERTS: '' },
      firmware: () => this.#startFirmware(),
      // Nothing runs from the slots: whatever is installed is taken to come up.
      systemIn: async (slot) => ({ version: slot, staysUp: true }),
    });
  }

  /** Powers on a node that knows nothing: no journal, no cache, slot a booted. */
  async openFresh(): Promise<void> {
    await this.close();
    await mkdir(this.#folder, { recursive: true });
    const variables = 'ORDER=A B\nA_OK=1\nA_LEFT=4\nB_OK=0\nB_LEFT=0\nkaon_trial=-\nkaon_tries=0\n';
    await writeFile(join(this.#folder, 'grubenv'), `# GRUB Environment Block\n${variables}`.padEnd(1024, '#'));
    await this.node.provision(this.#config());
    await this.node.powerOn();
    await this.up();
  }

  /** Waits until the agent answers and is idle. */
  async up(): Promise<void> {
    await until('the agent', 30_000, () => this.node.read('/healthz'));
    await this.waitFor('an idle node', 30_000, ({ phase }) => phase === 'idle');
  }

  /** Ends the node and forgets what it knew. */
  async close(): Promise<void> {
    await this.node.powerOff();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** The process of kaond, above all others of ours. */
  get pid(): number {
    return this.node.agentPid;
  }

  /** Asks for an update to the image `name` from `host`, as a client of the API does. */
  async startUpdate(host: string, name: string, goal: 'staged' | 'committed'): Promise<void> {
    const body = JSON.stringify({ image: `${host}/${name}`, until: goal });
    const answer = await this.request('POST', '/v1/updates', body);
    if (answer.status !== 202) throw new Error(`cannot start the update: ${JSON.stringify(answer.body)}`);
  }

  /** Waits until the update that was asked for is staged. */
  async untilStaged(limitMs: number): Promise<void> {
    const ended = await this.waitFor(
      'a staged update',
      limitMs,
      ({ phase, last }) => phase === 'staged' || (phase === 'idle' && last !== undefined),
    );
    if (ended.phase !== 'staged') await this.#fail('the update', ended);
  }

  /** Waits until the update that was asked for is committed, over its reboot. */
  async untilCommitted(limitMs: number): Promise<void> {
    const ended = await this.waitFor('the end of the update', limitMs, ({ phase, last }) => {
      return phase === 'idle' && last !== undefined;
    });
    if (ended.last?.result !== 'committed') await this.#fail('the update', ended);
  }

  /** Ends the staged update; the slot keeps what was written. */
  async cancel(): Promise<void> {
    const ended = await this.node.kaonctl(['cancel']);
    if (ended.exitCode !== 0) throw new Error(`cannot cancel the update: ${ended.stderr}`);
    await this.waitFor('the end of the update', 30_000, ({ phase }) => phase === 'idle');
  }

  /** Waits for a status, without asking more often than it changes. */
  async waitFor(what: string, limitMs: number, isThere: (status: NodeStatus) => boolean): Promise<NodeStatus> {
    const endMs = performance.now() + limitMs;
    let etag: string | undefined;
    return until(what, limitMs, async () => {
      const waitSeconds = Math.max(0, Math.min(10, (endMs - performance.now()) / 1000));
      const answer = await this.request('GET', `/v1/status?wait=${waitSeconds}`, undefined, etag).catch(
        () => undefined,
      );
      // Nobody answers while the node reboots, and afterwards the agent counts its versions anew.
      etag = answer?.etag;
      if (answer?.status !== 200) return undefined;
      const status = answer.body as NodeStatus;
      return isThere(status) ? status : undefined;
    });
  }

  /** One request to the API. Rejects when nobody answers. */
  async request(method: 'GET' | 'POST', path: string, body?: string, etag?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(etag === undefined ? {} : { 'if-none-match': etag }),
      };
      const sent = request({ socketPath: this.node.socket, method, path, headers, timeout: 70_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        response.once('error', reject);
        response.once('end', () => {
          const parsed: unknown = text === '' ? undefined : JSON.parse(text);
          resolve({ status: response.statusCode ?? 0, etag: response.headers.etag, body: parsed });
        });
      });
      sent.once('timeout', () => sent.destroy(new Error('the agent does not answer')));
      sent.once('error', reject);
      sent.end(body);
    });
  }

  async #fail(what: string, status: NodeStatus): Promise<never> {
    const log = await this.node.log();
    throw new Error(`${what} did not come to its end: ${JSON.stringify(status.last ?? status)}\n${log.slice(-2000)}`);
  }

  async #startFirmware(): Promise<NodeSlot> {
    const environment = join(this.#folder, 'grubenv');
    const script = { dialect: 'kaon', names: ['A', 'B'], full: 4 } as const;
    const { started, block } = bootGrub(script, await readFile(environment));
    await writeFile(environment, block, { flag: 'r+' });
    return started === 'B' ? 'b' : 'a';
  }

  #config(): string {
    const slot = (name: NodeSlot) => `partitions: { root: { device: ${this.#slots[name].device} } }`;
    const rules = this.#hosts.map((host) => `{ prefix: "${host}/os", require: { keys: [release] } }`);
    const registries = this.#hosts.map((host) => `"${host}": { insecureHttp: true }`);
    return `formatVersion: 1
node: { id: bench, compatible: bench }
stateDir: ${this.#folder}/state
slots:
  a: { bootName: A, ${slot('a')} }
  b: { bootName: B, ${slot('b')} }
bootloader: { type: grub, environment: ${this.#folder}/grubenv, tries: 4 }
trust:
  keys: { release: { file: ${this.#publicKey} } }
  rules: [${rules.join(', ')}]
registries: { ${registries.join(', ')} }
update: { retry: { base: 1s } }
api: { socket: ${this.node.socket} }
`;
  }
}
