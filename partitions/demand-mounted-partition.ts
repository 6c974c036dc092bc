import { readFile } from 'node:fs/promises';
import { type BootAccess, type BootPartition, isWriting } from './boot-partition.ts';
import { identify } from './device-tree.ts';
import { PartitionError } from './errors.ts';
import { readFatState } from './fat-device.ts';
import { type MountEntry, parseMountInfo } from './mount-info.ts';
import { systemdUnitPath } from './systemd-unit-path.ts';

/** Runs a program with no shell. `exitCode` is `undefined` when it could not be started or was killed. */
export interface MountCommands {
  run(
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<{ readonly exitCode: number | undefined; readonly output: string }>;
}

const commandTimeoutMs = 60_000;
const mountOptions = 'umask=0077,nodev,nosuid,noexec';

/**
 * A boot partition that is mounted only while it is used, read-only unless it is written to, so that power lost at any
 * other time finds it in order. systemd mounts it: we have no capability for it, and its mounts come to us from outside.
 * One that the system has mounted somewhere is used there and left as it is.
 */
export class DemandMountedPartition implements BootPartition {
  readonly #device: string;
  readonly #mountPoint: string;
  readonly #commands: MountCommands;
  readonly #onFault: (error: unknown) => void;
  readonly #procPath: string;
  readonly #identityOf: (path: string) => Promise<string>;
  #turn: Promise<unknown> = Promise.resolve();
  #users = 0;
  #root = '';
  #isWritable = false;
  #onIdle: () => void = () => undefined;

  /** `onFault` hears why the partition could not be unmounted, when all that was asked for is done. */
  constructor(options: {
    device: string;
    mountPoint: string;
    commands: MountCommands;
    onFault: (error: unknown) => void;
    procPath?: string;
    /** `major:minor` of a block device. */
    identityOf?: (path: string) => Promise<string>;
  }) {
    this.#device = options.device;
    this.#mountPoint = options.mountPoint;
    this.#commands = options.commands;
    this.#onFault = options.onFault;
    this.#procPath = options.procPath ?? '/proc';
    this.#identityOf = options.identityOf ?? (async (path) => (await identify(path)).id);
  }

  async use<T>(access: BootAccess, act: (root: string) => Promise<T>): Promise<T> {
    const root = await this.#inTurn(() => this.#begin(access));
    try {
      return await act(root);
    } finally {
      this.#users -= 1;
      if (this.#users === 0) {
        this.#onIdle();
        await this.#inTurn(() => this.#end()).catch(this.#onFault);
      }
    }
  }

  async #begin(access: BootAccess): Promise<string> {
    if (this.#users > 0 && isWriting(access) && !this.#isWritable) {
      // Readers end without a turn of their own.
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#users === 0) await this.#mount(access);
    this.#users += 1;
    return this.#root;
  }

  async #mount(access: BootAccess): Promise<void> {
    await this.#unmount();
    const elsewhere = (await this.#mounts()).at(-1);
    if (elsewhere !== undefined) {
      if (access !== 'read' && elsewhere.isReadOnly) throw this.#readOnly(elsewhere.mountPoint);
      this.#root = elsewhere.mountPoint;
      this.#isWritable = !elsewhere.isReadOnly;
      return;
    }
    if (isWriting(access)) await this.#bringInOrder(access);
    const options = `${isWriting(access) ? 'rw' : 'ro'},${mountOptions}`;
    await this.#run(
      ...['systemd-mount', '--quiet', '--collect', '--fsck=no', '--type=vfat', `--options=${options}`],
      ...[this.#device, this.#mountPoint],
    );
    const mounted = (await this.#mounts()).at(-1);
    if (mounted === undefined) throw this.#unmountable('it was mounted and did not come to us');
    // The kernel falls back to it where the device takes no writes.
    if (isWriting(access) && mounted.isReadOnly) throw this.#readOnly(this.#mountPoint);
    this.#root = this.#mountPoint;
    this.#isWritable = isWriting(access);
  }

  async #end(): Promise<void> {
    if (this.#users === 0) await this.#unmount();
  }

  /** Unmounts our own mount; one of a process that was killed may be there as well. */
  async #unmount(): Promise<void> {
    if (!(await this.#mounts()).some(({ mountPoint }) => mountPoint === this.#mountPoint)) return;
    await this.#run('systemd-umount', this.#mountPoint);
  }

  /** Lets systemd check a file system that was not unmounted in order. */
  async #bringInOrder(access: BootAccess): Promise<void> {
    if ((await readFatState(this.#device)) !== 'dirty') return;
    const unit = `systemd-fsck@${systemdUnitPath(this.#device)}.service`;
    // It stays active after its run at the boot, hence not start.
    await this.#run('systemctl', 'restart', unit).catch(this.#onFault);
    if (access === 'rescue' || (await readFatState(this.#device)) !== 'dirty') return;
    throw new PartitionError(
      'boot-partition-dirty',
      `cannot write to the boot partition: it was not unmounted in order; run fsck.vfat -a ${this.#device}`,
      { details: { device: this.#device } },
    );
  }

  async #mounts(): Promise<readonly MountEntry[]> {
    const id = await this.#identityOf(this.#device).catch((cause: unknown) => {
      throw this.#unmountable(cause instanceof Error ? cause.message : String(cause), cause);
    });
    const mounts = parseMountInfo(await readFile(`${this.#procPath}/self/mountinfo`, 'utf8'));
    return mounts.filter(({ deviceNumber }) => deviceNumber === id);
  }

  async #run(...argv: readonly string[]): Promise<void> {
    const { exitCode, output } = await this.#commands.run(argv, AbortSignal.timeout(commandTimeoutMs));
    if (exitCode === 0) return;
    throw this.#unmountable(`${argv.join(' ')} ended with ${exitCode ?? 'no exit code'}: ${output.trim()}`);
  }

  #readOnly(mountPoint: string): PartitionError {
    return new PartitionError(
      'boot-partition-read-only',
      `cannot write to the boot partition: ${this.#device} is mounted read-only on ${mountPoint}`,
      { details: { device: this.#device, mountPoint } },
    );
  }

  #unmountable(reason: string, cause?: unknown): PartitionError {
    return new PartitionError('boot-partition-unmountable', `cannot mount the boot partition: ${reason}`, {
      details: { device: this.#device },
      ...(cause === undefined ? {} : { cause }),
    });
  }

  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
