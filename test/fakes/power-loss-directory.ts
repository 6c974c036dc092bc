import type { BootDirectory } from '../../bootloader/boot-directory.ts';
import { BootloaderError } from '../../bootloader/errors.ts';
import type { SectorFate } from './power-loss-file.ts';

interface StoredFile {
  readonly bytes: Uint8Array;
  isSynced: boolean;
}

type Names = Map<string, StoredFile>;

/**
 * A FAT directory tree in memory that outlives the agents that use it. Each name that was written, renamed or removed
 * and not synced meets its own fate when the power goes, so that a rename may leave the old name, the new one, both or
 * neither; contents that were not synced come back whole, torn or empty, and what was renamed and not synced since whole
 * or empty. `beforeStep` is called before each change and sync and may throw to cut the power there.
 */
export class PowerLossDirectory implements BootDirectory {
  readonly #beforeStep: (name: string) => void;
  #disk: Names = new Map();
  #cache: Names = new Map();
  /** What was renamed: Linux writes where its contents are, and how long, apart from its new name. */
  readonly #renamed = new Set<StoredFile>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: Readonly<Record<string, string>>, beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
    for (const [path, text] of Object.entries(files)) this.put(path, text);
  }

  /** The paths that are on the disk now. */
  get paths(): readonly string[] {
    return [...this.#disk.keys()].toSorted();
  }

  /** How many files take room: those that have a name now, or would have one if the power went. */
  get fileCount(): number {
    return new Set([...this.#disk.values(), ...this.#cache.values()]).size;
  }

  /** What is on the disk under a path. */
  textOf(path: string): string {
    return Buffer.from(this.#disk.get(path)?.bytes ?? new Uint8Array()).toString('latin1');
  }

  /** Puts a file onto the disk, as a loader or an operator does. */
  put(path: string, text: string): void {
    const file = { bytes: Buffer.from(text, 'latin1'), isSynced: true };
    this.#disk.set(path, file);
    this.#cache.set(path, file);
  }

  /** Takes a file from the disk. */
  drop(path: string): void {
    this.#disk.delete(path);
    this.#cache.delete(path);
  }

  /** The power goes. A held lock is gone with its process. */
  losePower(fateOf: () => SectorFate): void {
    const survived: Names = new Map();
    for (const path of new Set([...this.#disk.keys(), ...this.#cache.keys()])) {
      const [before, after] = [this.#disk.get(path), this.#cache.get(path)];
      const file = before === after || fateOf() === 'lost' ? before : after;
      if (file === undefined) continue;
      const isEmptied = file !== before && this.#renamed.has(file) && fateOf() === 'lost';
      const bytes = isEmptied ? new Uint8Array() : file.isSynced ? file.bytes : torn(file.bytes, fateOf);
      survived.set(path, bytes === file.bytes && file.isSynced ? file : { bytes, isSynced: true });
    }
    this.#renamed.clear();
    this.#disk = survived;
    this.#cache = new Map(survived);
    this.#turn = Promise.resolve();
  }

  async list(path: string): Promise<readonly string[]> {
    const begin = path === '' ? '' : `${path}/`;
    return [...this.#cache.keys()]
      .filter((known) => known.startsWith(begin))
      .map((known) => known.slice(begin.length))
      .filter((name) => !name.includes('/'));
  }

  async read(path: string, limitBytes: number): Promise<Uint8Array> {
    const { bytes } = this.#file(path, 'boot-env-unreadable');
    if (bytes.byteLength > limitBytes)
      throw new BootloaderError('boot-env-unreadable', `cannot read ${path}: too long`);
    return Uint8Array.from(bytes);
  }

  async readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#file(path, 'boot-env-unreadable').bytes.slice(offsetBytes, offsetBytes + lengthBytes);
  }

  async makeFolder(): Promise<void> {
    // A folder is a part of the names here.
  }

  async copyNew(from: string, to: string): Promise<void> {
    await this.writeNew(to, this.#file(from, 'boot-env-write-failed').bytes);
    await this.syncContents(to);
  }

  async writeNew(path: string, bytes: Uint8Array): Promise<void> {
    this.#beforeStep('write');
    this.#refuse(path);
    this.#cache.set(path, { bytes: Uint8Array.from(bytes), isSynced: false });
  }

  /** Adds to the end of a file that is not synced yet. */
  async append(path: string, bytes: Uint8Array): Promise<void> {
    this.#beforeStep('append');
    const file = this.#file(path, 'boot-env-write-failed');
    this.#cache.set(path, { bytes: Buffer.concat([file.bytes, bytes]), isSynced: false });
  }

  /** Makes a file's contents durable, and not its name. */
  async syncContents(path: string): Promise<void> {
    this.#beforeStep('sync contents');
    this.#file(path, 'boot-env-write-failed').isSynced = true;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#refuse(to);
    await this.replaceByRename(from, to);
  }

  async replaceByRename(from: string, to: string): Promise<void> {
    this.#beforeStep('rename');
    const file = this.#file(from, 'boot-env-write-failed');
    this.#cache.set(to, file);
    this.#cache.delete(from);
    this.#renamed.add(file);
  }

  async remove(path: string): Promise<void> {
    this.#beforeStep('remove');
    this.#cache.delete(path);
  }

  async sync(path: string): Promise<void> {
    this.#beforeStep('sync');
    for (const known of new Set([...this.#disk.keys(), ...this.#cache.keys()])) {
      if (!known.startsWith(`${path}/`)) continue;
      const file = this.#cache.get(known);
      if (file === undefined) this.#disk.delete(known);
      else this.#disk.set(known, file);
      if (file === undefined) continue;
      file.isSynced = true;
      this.#renamed.delete(file);
    }
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #file(path: string, code: 'boot-env-unreadable' | 'boot-env-write-failed'): StoredFile {
    const file = this.#cache.get(path);
    if (file === undefined) throw new BootloaderError(code, `cannot use ${path}: there is no such file`);
    return file;
  }

  #refuse(path: string): void {
    if (this.#cache.has(path)) {
      throw new BootloaderError('boot-env-write-failed', `cannot write ${path}: it is there already`);
    }
  }
}

function torn(bytes: Uint8Array, fateOf: () => SectorFate): Uint8Array {
  if (fateOf() === 'written') return bytes;
  return fateOf() === 'written' ? bytes.slice(0, bytes.byteLength * 0.75) : new Uint8Array();
}
