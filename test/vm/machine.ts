import { spawn } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmulatorFault, tellsOfLostDisk } from './emulator-fault.ts';
import type { Firmware } from './firmware.ts';

const escapeSequence = new RegExp(`${String.fromCharCode(27)}\\[[0-9;=?]*[A-Za-z]`, 'g');

/** A line of the serial console, and when it came, by the host's clock. */
export interface TimedLine {
  readonly atMs: number;
  readonly text: string;
}

/** Stands in a machine's timeline where the power comes on. */
export const powerOn = '===== boot';

/** How one boot ended. */
export type BootEnd = 'power-off' | 'reset' | 'cut' | 'timeout';

/** What may end a boot from outside. */
export interface BootPlan {
  /** Longest time for this boot; a guest that hangs is then cut off, as somebody would do with a switch. */
  readonly deadlineMs: number;
  /** Cuts the power this long after a line of the serial console that matches, or after the start where none is named. */
  readonly cutAt?: { readonly line?: RegExp; readonly afterMs: number };
  /** Ends the boot, and all that would come after it, with a rejection. */
  readonly signal: AbortSignal;
}

/** A virtual machine: one QEMU process a boot, so that each reset is a cold start. */
export class Machine {
  readonly #disk: string;
  readonly #folder: string;
  readonly #firmware: Firmware;
  readonly #isRecorded: boolean;
  /** Lines of the serial console, over all boots. */
  readonly lines: string[] = [];
  /** The same lines, and each `powerOn`, with their times. */
  readonly timeline: TimedLine[] = [];
  /** A log of each boot's writes (`block-log.ts`), in their order; empty for a machine that is not recorded. */
  readonly recordings: string[] = [];
  /** The last line of the console before the power was cut; `undefined` where it never was. */
  lineBeforeCut: string | undefined;

  /** `folder` is the node's own; `isRecorded` keeps a log of all that is written. */
  constructor(disk: string, folder: string, firmware: Firmware, isRecorded = false) {
    this.#disk = disk;
    this.#folder = folder;
    this.#firmware = firmware;
    this.#isRecorded = isRecorded;
  }

  /**
   * Boots once; resolves when the guest powers off, resets, is cut off, or its time is over. Rejects where the emulator
   * does not run, and with an `EmulatorFault` where it loses the guest's disk.
   */
  async boot(plan: BootPlan): Promise<BootEnd> {
    plan.signal.throwIfAborted();
    this.timeline.push({ atMs: performance.now(), text: powerOn });
    const child = spawn(this.#firmware.program, await this.#arguments(), { stdio: ['ignore', 'pipe', 'pipe'] });
    const watch = new BootWatch(plan, () => child.kill('SIGKILL'));
    const log = createWriteStream(join(this.#folder, 'serial.log'), { flags: 'a' });
    log.write(`\n${powerOn} at ${new Date().toISOString()}\n`);
    let rest = '';
    const onText = (text: string) => {
      // Firmware draws with escape sequences.
      rest += text.replace(escapeSequence, '');
      const lines = rest.split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        this.lines.push(line);
        this.timeline.push({ atMs: performance.now(), text: line });
        log.write(`${new Date().toISOString().slice(11, 23)} ${line}\n`);
        watch.see(line);
      }
    };
    child.stdout.setEncoding('utf8').on('data', onText);
    child.stderr.setEncoding('utf8').on('data', onText);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const end = watch.stop();
    log.end(`===== ${end}\n`);
    if (end === 'cut') this.lineBeforeCut = this.lines.at(-1) ?? '';
    plan.signal.throwIfAborted();
    if (watch.lostDisk !== undefined) throw new EmulatorFault(`the emulator lost its disk: ${watch.lostDisk}`);
    if (code !== null && code !== 0) {
      throw new Error(`${this.#firmware.program} ended with ${code}: ${this.lines.slice(-3).join(' / ')}`);
    }
    return end;
  }

  async #arguments(): Promise<readonly string[]> {
    return [
      ...(await this.#firmware.arguments(this.#folder)),
      ...['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...this.#blockDevices(),
      ...['-device', 'nvme,serial=kaon,drive=d0,bootindex=0'],
      ...['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,romfile='],
    ];
  }

  #blockDevices(): readonly string[] {
    // A killed emulator loses nothing that its host has in memory: flushes down to the host's disk would only wait.
    const file = (name: string, path: string) =>
      `driver=raw,node-name=${name},cache.no-flush=on,file.driver=file,file.filename=${path}`;
    if (!this.#isRecorded) return ['-blockdev', file('d0', this.#disk)];
    const recording = join(this.#folder, `writes-${this.recordings.length + 1}.log`);
    writeFileSync(recording, '');
    this.recordings.push(recording);
    return [
      ...['-blockdev', file('disk', this.#disk), '-blockdev', file('log', recording)],
      ...['-blockdev', 'driver=blklogwrites,node-name=d0,file=disk,log=log,log-sector-size=512'],
    ];
  }
}

/** Ends a boot when its plan says so, and knows how it ended. */
class BootWatch {
  readonly #plan: BootPlan;
  readonly #kill: () => void;
  readonly #timers: NodeJS.Timeout[] = [];
  #end: BootEnd | undefined;
  /** What the guest said of its disk, which does not answer any more. */
  lostDisk: string | undefined;

  constructor(plan: BootPlan, kill: () => void) {
    this.#plan = plan;
    this.#kill = kill;
    this.#timers.push(setTimeout(() => this.#endBy('timeout'), plan.deadlineMs));
    if (plan.cutAt !== undefined && plan.cutAt.line === undefined) this.#cutAfter(plan.cutAt.afterMs);
    plan.signal.addEventListener('abort', this.#kill);
  }

  see(line: string): void {
    if (line.includes('reboot: Power down')) this.#end ??= 'power-off';
    if (tellsOfLostDisk(line)) {
      this.lostDisk ??= line;
      this.#kill();
    }
    const { cutAt } = this.#plan;
    if (cutAt?.line?.test(line) === true) this.#cutAfter(cutAt.afterMs);
  }

  /** How the boot ended, asked once it did. */
  stop(): BootEnd {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#plan.signal.removeEventListener('abort', this.#kill);
    return this.#end ?? 'reset';
  }

  #cutAfter(afterMs: number): void {
    this.#timers.push(setTimeout(() => this.#endBy('cut'), afterMs));
  }

  #endBy(end: BootEnd): void {
    this.#end ??= end;
    this.#kill();
  }
}
