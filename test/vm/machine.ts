import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Firmware } from './firmware.ts';

const escapeSequence = new RegExp(`${String.fromCharCode(27)}\\[[0-9;=?]*[A-Za-z]`, 'g');

/** How one boot ended. */
export type BootEnd = 'power-off' | 'reset' | 'cut' | 'timeout';

/** What may end a boot from outside. */
export interface BootPlan {
  /** Longest time for this boot; a guest that hangs is then cut off, as somebody would do with a switch. */
  readonly deadlineMs: number;
  /** Cuts the power when a line of the serial console matches, this long after it. */
  readonly cutAt?: { readonly line: RegExp; readonly afterMs: number };
}

/** A virtual machine: one QEMU process a boot, so that each reset is a cold start. */
export class Machine {
  readonly #disk: string;
  readonly #folder: string;
  readonly #firmware: Firmware;
  readonly log: string;
  /** Lines of the serial console, over all boots. */
  readonly lines: string[] = [];
  #child: ChildProcess | undefined;

  constructor(disk: string, folder: string, firmware: Firmware) {
    this.#disk = disk;
    this.#folder = folder;
    this.#firmware = firmware;
    this.log = join(folder, 'serial.log');
  }

  /** Boots once; resolves when the guest powers off, resets, is cut off, or its time is over. */
  async boot(plan: BootPlan): Promise<BootEnd> {
    const child = spawn(this.#firmware.program, await this.#arguments(), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const log = createWriteStream(this.log, { flags: 'a' });
    log.write(`\n===== boot at ${new Date().toISOString()}\n`);
    let end: BootEnd | undefined;
    let rest = '';
    const onText = (text: string) => {
      // Firmware draws with escape sequences.
      rest += text.replace(escapeSequence, '');
      const lines = rest.split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        this.lines.push(line);
        log.write(`${new Date().toISOString().slice(11, 23)} ${line}\n`);
        if (plan.cutAt?.line.test(line) === true && end === undefined) {
          end = 'cut';
          void delay(plan.cutAt.afterMs).then(() => child.kill('SIGKILL'));
        }
        if (/reboot: Power down/.test(line)) end ??= 'power-off';
      }
    };
    child.stdout.setEncoding('utf8').on('data', onText);
    child.stderr.setEncoding('utf8').on('data', onText);
    const timer = setTimeout(() => {
      end = 'timeout';
      child.kill('SIGKILL');
    }, plan.deadlineMs);
    await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    log.end();
    this.#child = undefined;
    return end ?? 'reset';
  }

  /** Ends a boot that runs. */
  stop(): void {
    this.#child?.kill('SIGKILL');
  }

  async #arguments(): Promise<readonly string[]> {
    return [
      ...(await this.#firmware.arguments(this.#folder)),
      ...['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-drive', `file=${this.#disk},if=none,id=d0,format=raw,cache=writeback`],
      ...['-device', 'nvme,serial=kaon,drive=d0,bootindex=0'],
      ...['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,romfile='],
    ];
  }
}
