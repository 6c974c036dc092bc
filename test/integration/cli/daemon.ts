import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listenOnSocket } from '../../../agent/api/listen.ts';
import { buildServer } from '../../../agent/api/server.ts';
import { runCli } from '../../../agent/cli/program.ts';
import type { StatusView, UpdateView } from '../../../agent/core/control.ts';
import { ScriptedControl } from '../../fakes/scripted-control.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';

/** A scripted agent whose status and update are what the test says. */
export class StagedControl extends ScriptedControl {
  #status: Partial<StatusView> = {};
  #update: Partial<UpdateView> = {};
  #versionAtStart = 0;

  /** The agent is a new process, which counts versions from the beginning. */
  startOver(): void {
    this.#versionAtStart = super.statusVersion() - 1;
  }

  override statusVersion(): number {
    return super.statusVersion() - this.#versionAtStart;
  }

  override async waitForChange(version: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    await super.waitForChange(version + this.#versionAtStart, timeoutMs, signal);
  }

  /** The node is so from now on, and whoever waits hears of it. */
  become(status: Partial<StatusView>, update: Partial<UpdateView> = {}): void {
    this.#status = status;
    this.#update = update;
    this.emit('changed');
  }

  override async status(): Promise<StatusView> {
    return { ...(await super.status()), ...this.#status };
  }

  override async update(id: string): Promise<UpdateView> {
    return { ...(await super.update(id)), ...this.#update };
  }
}

/** The real API over a scripted agent, on a socket in a folder of its own. */
export class TestDaemon {
  readonly folder: string;
  readonly socket: string;
  readonly control: StagedControl;
  #close: () => Promise<void> = async () => undefined;
  #starts = 0;

  private constructor(folder: string, control: StagedControl) {
    this.folder = folder;
    this.socket = join(folder, 'kaon.sock');
    this.control = control;
  }

  static async start(): Promise<TestDaemon> {
    const daemon = new TestDaemon(await mkdtemp(join(tmpdir(), 'kaon-cli-')), new StagedControl());
    await daemon.listen();
    return daemon;
  }

  async listen(): Promise<void> {
    this.#starts += 1;
    const app = buildServer(this.control, {
      agentVersion: '0.1.0',
      startId: `start-${this.#starts}`,
      hostFacts: () => ({}),
      onBug: () => undefined,
    });
    this.#close = async () => {
      await app.close();
    };
    await listenOnSocket(app, this.socket);
  }

  /** The daemon goes away, as in a reboot. */
  async stop(): Promise<void> {
    const close = this.#close;
    this.#close = async () => undefined;
    await close();
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true });
  }

  /** Runs kaonctl against this daemon. */
  async run(...argv: readonly string[]): Promise<{ readonly io: RecordingIo; readonly exitCode: number }> {
    const io = new RecordingIo();
    return { io, exitCode: await this.runWith(io, ...argv) };
  }

  runWith(io: RecordingIo, ...argv: readonly string[]): Promise<number> {
    return runCli([...argv, '--socket', this.socket], io, testDeps('{"payload":"from stdin"}'));
  }
}
