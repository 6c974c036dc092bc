import type { EfiVariables } from '../../bootloader/efi-variable-store.ts';

/**
 * UEFI firmware in memory: its variables, and which entry its boot manager starts. It shares no code with the product,
 * so that both can only be wrong separately. A variable is set whole or not at all; `beforeStep` is called before each
 * change and may throw to cut the power there.
 */
export class EfiFirmware implements EfiVariables {
  readonly #kept = new Map<string, Buffer>();
  readonly #beforeStep: (name: string) => void;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
  }

  /** One boot: the description of the entry that starts, or `undefined` where none can. */
  boot(): string | undefined {
    const order = this.#numbers('BootOrder');
    const next = this.#numbers('BootNext');
    // It is deleted before it is obeyed, so that no reset obeys it twice.
    this.#kept.delete(globalName('BootNext'));
    for (const number of [...next, ...order]) {
      const option = this.#kept.get(globalName(`Boot${number.toString(16).padStart(4, '0').toUpperCase()}`));
      if (option === undefined || (option.readUInt8(4) & 1) !== 1) continue;
      this.#kept.set(globalName('BootCurrent'), Buffer.of(6, 0, 0, 0, number & 0xff, number >> 8));
      return descriptionOf(option);
    }
    return undefined;
  }

  /** The power goes. What was written stays; a held lock is gone with its process. */
  losePower(): void {
    this.#turn = Promise.resolve();
  }

  /** Puts a boot entry there, as an installer does. */
  addEntry(number: number, description: string, isActive = true): void {
    const text = Buffer.from(`${description}\0`, 'utf16le');
    const option = Buffer.concat([
      Buffer.of(7, 0, 0, 0, isActive ? 1 : 0, 0, 0, 0, 4, 0),
      text,
      Buffer.of(127, 255, 4, 0),
    ]);
    this.#kept.set(globalName(`Boot${number.toString(16).padStart(4, '0').toUpperCase()}`), option);
  }

  async list(guid: string): Promise<readonly string[]> {
    return [...this.#kept.keys()].filter((name) => name.endsWith(`-${guid}`)).map((name) => name.slice(0, -37));
  }

  async read(name: string, guid: string): Promise<Uint8Array | undefined> {
    const bytes = this.#kept.get(`${name}-${guid}`);
    return bytes === undefined ? undefined : Uint8Array.from(bytes);
  }

  async write(name: string, guid: string, bytes: Uint8Array): Promise<void> {
    this.#beforeStep(`${name}-write`);
    this.#kept.set(`${name}-${guid}`, Buffer.from(bytes));
  }

  async remove(name: string, guid: string): Promise<void> {
    this.#beforeStep(`${name}-remove`);
    this.#kept.delete(`${name}-${guid}`);
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #numbers(name: string): readonly number[] {
    const bytes = this.#kept.get(globalName(name)) ?? Buffer.alloc(4);
    const count = Math.floor((bytes.byteLength - 4) / 2);
    return Array.from({ length: count }, (_, index) => bytes.readUInt16LE(4 + index * 2));
  }
}

function globalName(name: string): string {
  return `${name}-8be4df61-93ca-11d2-aa0d-00e098032b8c`;
}

function descriptionOf(option: Buffer): string {
  const text = option.toString('utf16le', 10);
  return text.slice(0, text.indexOf('\0'));
}
