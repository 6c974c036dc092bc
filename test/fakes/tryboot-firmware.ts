/**
 * The Raspberry Pi's firmware at boot, in simulation: which partition autoboot.txt leads to, and the one-shot flag. It
 * shares no code with the product, so that both can only be wrong separately.
 */

/** The partition that starts, or `undefined` where the file names none. */
export function bootTryboot(file: Uint8Array, isTryboot: boolean): number | undefined {
  if (file.byteLength > 512) return undefined;
  let isActive = true;
  let partition: number | undefined;
  let switchesPartition = false;
  let plain: number | undefined;
  for (const line of Buffer.from(file).toString('latin1').split(/\r?\n/)) {
    if (line.startsWith('#') || line.trim() === '') continue;
    const filter = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (filter !== undefined) {
      isActive = filter === 'all' || (filter === 'tryboot' && isTryboot);
      if (filter === 'tryboot') plain ??= partition;
      continue;
    }
    const [key, value] = line.split('=', 2);
    if (!isActive) continue;
    if (key === 'boot_partition') partition = Number(value);
    if (key === 'tryboot_a_b') switchesPartition = value === '1';
  }
  // Without A/B mode a tryboot reads tryboot.txt in the same partition.
  return isTryboot && !switchesPartition ? plain : partition;
}

/** A board: its flag, and what it shows of the boot that runs. */
export class TrybootBoard {
  #boots = 0;
  #isTryboot = false;
  #partition = 0;
  #isFlagSet = false;

  /** A reboot with this argument: the only way to set the flag. */
  reboot(argument: string | undefined): void {
    this.#isFlagSet = argument === '0 tryboot';
  }

  /** The power goes, and the flag with it. */
  losePower(): void {
    this.#isFlagSet = false;
  }

  /** One boot. The flag is cleared before anything starts. */
  boot(file: Uint8Array): number | undefined {
    this.#isTryboot = this.#isFlagSet;
    this.#isFlagSet = false;
    this.#boots += 1;
    const started = bootTryboot(file, this.#isTryboot);
    this.#partition = started ?? 0;
    return started;
  }

  /** What the device tree and the kernel show of the boot that runs. */
  async tryboot(): Promise<Uint8Array> {
    return cell(this.#isTryboot ? 1 : 0);
  }

  async partition(): Promise<Uint8Array> {
    return cell(this.#partition);
  }

  async bootId(): Promise<Uint8Array> {
    const digits = (this.#boots + 1).toString(16).padStart(8, '0');
    return Buffer.from(`${digits}-0000-4000-8000-000000000000\n`);
  }
}

function cell(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
