import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive, sendIfAlive } from './processes.ts';

export type NodeSlot = 'a' | 'b';

const programs = fileURLToPath(new URL('../../package/bin/', import.meta.url));
const maxBootsInARow = 12;

/** What a system does once the firmware started it: it stays up, or it panics at once. */
export interface BootedSystem {
  readonly version: string;
  readonly staysUp: boolean;
}

/** The parts of a node that differ from test to test. */
export interface SimulatedNodeParts {
  /** Everything of the node lies below it. */
  readonly folder: string;
  /** One start of the firmware: it counts, and says which slot starts. */
  readonly firmware: () => Promise<NodeSlot>;
  /** What lies in a slot; `undefined`: nothing that starts. */
  readonly systemIn: (slot: NodeSlot) => Promise<BootedSystem | undefined>;
  /** Hears what the firmware does. */
  readonly say?: (line: string) => void;
  readonly agentOptions?: readonly string[];
  /** The image's configuration; `etc/image.yaml` in the folder unless given. */
  readonly imageConfig?: string;
  /** Of the agent, beside this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * A node whose agent is real: kaond and kaon-slotd as child processes, and everything around them simulated. It reboots
 * when kaon-slotd runs its reboot command. Its configuration is `etc/kaon.yaml` in the folder.
 */
export class SimulatedNode {
  readonly folder: string;
  /** `slot:version` of each boot. */
  readonly boots: string[] = [];
  readonly #parts: SimulatedNodeParts;
  #agent: ChildProcess | undefined;
  readonly #orphans: number[] = [];
  #booted: NodeSlot = 'a';
  #bootId = '';
  #isOff = false;
  #isCut = false;
  #watch: Promise<void> = Promise.resolve();

  constructor(parts: SimulatedNodeParts) {
    this.folder = parts.folder;
    this.#parts = parts;
  }

  get socket(): string {
    return join(this.folder, 'run/kaon.sock');
  }

  get booted(): NodeSlot {
    return this.#booted;
  }

  /** The process of the agent that was started last. */
  get agentPid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** Makes the directories, and writes the configuration. */
  async provision(config: string): Promise<void> {
    for (const name of ['run', 'etc', 'state', 'slotd']) await mkdir(join(this.folder, name), { recursive: true });
    await this.configure(config);
  }

  /** Writes the configuration; the agent reads it when it starts, kaon-slotd at each request. */
  async configure(config: string): Promise<void> {
    await writeFile(join(this.folder, 'etc/kaon.yaml'), config);
  }

  /** Boots until a system stays up; from then on each reboot that the agent asks for boots again. */
  async powerOn(): Promise<void> {
    this.#isOff = false;
    await this.#boot();
    this.#watch = this.#followReboots();
  }

  /** Ends everything that was started, in order. */
  async powerOff(): Promise<void> {
    this.#isOff = true;
    await this.#watch;
    await this.endAgent('SIGTERM');
    this.#endOrphans();
  }

  /** The power goes and comes back, or the hardware resets the node: nothing of the boot ends in order. */
  async reset(): Promise<void> {
    await this.endAgent('SIGKILL');
    this.#endOrphans();
    await this.#boot();
  }

  /** Somebody reboots the node, who does not ask the agent. */
  async rebootInOrder(): Promise<void> {
    await this.endAgent('SIGTERM');
    this.#endOrphans();
    await this.#boot();
  }

  /** Cuts the power: every process ends where it is, and the node boots. What they wrote is there. */
  async cutPower(): Promise<void> {
    const { length } = this.boots;
    this.#isCut = true;
    await until('the boot after the cut', 60_000, async () =>
      !this.#isCut && this.boots.length > length ? true : undefined,
    );
  }

  /** Ends the agent, and with SIGKILL its kaon-slotd as well. */
  async endAgent(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const killed = signal === 'SIGKILL' ? await this.#children() : [];
    // Held first: one that sees the other die would act on it, and write that down.
    if (killed.length > 0) [this.agentPid, ...killed].forEach((pid) => sendIfAlive(pid, 'SIGSTOP'));
    killed.forEach((pid) => sendIfAlive(pid, 'SIGKILL'));
    await this.#end(signal);
    await until('the end of what was killed', 60_000, async () => (killed.some(isAlive) ? undefined : true));
  }

  /** Kills the agent and leaves its kaon-slotd alone, which may be at work. */
  async killAgentAlone(): Promise<void> {
    this.#orphans.push(...(await this.#children()));
    await this.#end('SIGKILL');
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill(signal);
    await ended;
  }

  /** Starts the agent again in the same boot, as systemd does. */
  async restartAgent(): Promise<void> {
    await this.endAgent('SIGTERM');
    this.#startAgent();
  }

  /** Kills the kaon-slotd that the agent started; resolves to whether there was one. */
  async killSlotd(): Promise<boolean> {
    const pids = await this.#children();
    pids.forEach((pid) => sendIfAlive(pid, 'SIGKILL'));
    return pids.length > 0;
  }

  async #children(): Promise<readonly number[]> {
    const pid = this.#agent?.pid;
    if (pid === undefined) return [];
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    return children
      .split(' ')
      .filter((text) => text !== '')
      .map(Number);
  }

  /** What the agent and kaon-slotd wrote so far. */
  async log(): Promise<string> {
    return readFile(join(this.folder, 'agent.log'), 'utf8').catch(() => '');
  }

  /** A resource of the agent's API; `undefined` while nobody answers. */
  async read(path: string): Promise<unknown> {
    return new Promise((resolve) => {
      const request = get({ socketPath: this.socket, path, timeout: 20_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        response.once('error', () => resolve(undefined));
        response.once('end', () => resolve(response.statusCode === 200 ? (JSON.parse(text) as unknown) : undefined));
      });
      request.once('timeout', () => request.destroy());
      request.once('error', () => resolve(undefined));
    });
  }

  /** Runs the real kaonctl against this node. `onText` hears what it writes as it comes. */
  async kaonctl(
    args: readonly string[],
    onText: (text: string) => void = () => undefined,
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
    const child = spawn(process.execPath, [join(programs, 'kaonctl.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, KAON_SOCKET: this.socket },
    });
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        texts[name] += text;
        onText(text);
      });
    }
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? 1));
    });
    return { exitCode, ...texts };
  }

  async #followReboots(): Promise<void> {
    const asked = join(this.folder, 'run/reboot');
    while (!this.#isOff) {
      await delay(20);
      const isCut = this.#isCut;
      if (!isCut && !existsSync(asked)) continue;
      await this.endAgent(isCut ? 'SIGKILL' : 'SIGTERM');
      this.#endOrphans();
      await rm(asked, { force: true });
      await this.#boot();
      if (isCut) this.#isCut = false;
    }
  }

  /** No process outlives a boot. */
  #endOrphans(): void {
    this.#orphans.splice(0).forEach((pid) => sendIfAlive(pid, 'SIGKILL'));
  }

  async #boot(): Promise<void> {
    for (let count = 0; count < maxBootsInARow; count += 1) {
      const slot = await this.#parts.firmware();
      const system = await this.#parts.systemIn(slot);
      const version = system?.version ?? 'nothing';
      this.boots.push(`${slot}:${version}`);
      if (system?.staysUp !== true) {
        this.#parts.say?.(`firmware: slot ${slot}, ${version} … kernel panic, reset`);
        continue;
      }
      this.#parts.say?.(`firmware: slot ${slot}, ${version} is up`);
      this.#booted = slot;
      this.#bootId = randomUUID();
      this.#startAgent();
      return;
    }
    throw new Error(`the node did not come up in ${maxBootsInARow} boots`);
  }

  #startAgent(): void {
    const run = join(this.folder, 'run');
    const options = {
      '--config': join(this.folder, 'etc/kaon.yaml'),
      '--image-config': this.#parts.imageConfig ?? join(this.folder, 'etc/image.yaml'),
      '--state-dir': join(this.folder, 'state'),
      '--slotd-socket': join(run, 'slotd.sock'),
      '--slotd-state-dir': join(this.folder, 'slotd'),
      '--booted-slot': this.#booted,
      '--boot-id': this.#bootId,
      '--evidence-root': join(this.folder, 'kernel'),
      '--reboot-command': JSON.stringify(['touch', join(run, 'reboot')]),
    };
    const log = openSync(join(this.folder, 'agent.log'), 'a');
    this.#agent = spawn(
      process.execPath,
      [
        join(programs, 'kaond.js'),
        '--spawn-slotd',
        ...Object.entries(options).flat(),
        ...(this.#parts.agentOptions ?? []),
      ],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.#parts.environment } },
    );
    closeSync(log);
  }
}

/** Waits until `read` gives something, for at most `limitMs`. */
export async function until<T>(what: string, limitMs: number, read: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}`);
    await delay(25);
  }
}
