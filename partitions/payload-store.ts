import { PartitionError } from './errors.ts';
import { DigestMeter, LayerCheck } from './layer-check.ts';
import type { PayloadDirectory } from './payload-directory.ts';
import { checkRoom, type PayloadRoom, planPayloads, type PlannedPayload, takenBytes } from './payload-plan.ts';
import type { LayerSource } from './slot-writer.ts';
import { type PayloadRole, TrustedDescriptor } from './trusted-descriptor.ts';

/** A payload on the boot partition, read back. */
export interface StagedPayload {
  readonly role: PayloadRole;
  /** Below the partition's root, with `/` between the names. */
  readonly path: string;
}

/** What a loader does with payloads besides reading them where they were staged. */
export interface PayloadUse {
  /** How often each payload must have room: 2 where it is copied before it is proven. */
  readonly copies: number;
  /** The folder that a staged payload is moved to, and which files of it are a slot's. */
  readonly listed: { readonly folder: string; readonly isOf: (slot: 'a' | 'b', name: string) => boolean } | undefined;
}

/** The ending of a file that is not whole yet; no entry names one. */
const unfinished = '.tmp';

/**
 * The kernels, initrds, device trees and unified kernel images of both slots on the partition that the loader reads,
 * each slot's in a folder of its own. The files of the other slot are never touched.
 */
export class PayloadStore {
  readonly #directory: PayloadDirectory;
  readonly #folder: string;
  readonly #use: PayloadUse;

  /** The slots' folders are `<folder>/a` and `<folder>/b`. */
  constructor(directory: PayloadDirectory, folder: string, use: PayloadUse = { copies: 1, listed: undefined }) {
    this.#directory = directory;
    this.#folder = folder;
    this.#use = use;
  }

  /** The room for payloads of `slot`. Rejects with `boot-partition-failed`. */
  async room(slot: 'a' | 'b'): Promise<PayloadRoom> {
    const { freeBytes, clusterBytes } = await this.#directory.room();
    const { copies, listed } = this.#use;
    const moved = listed === undefined ? [] : await this.#directory.files(listed.folder);
    const files = [
      ...(await this.#directory.files(this.#folderOf(slot))),
      ...moved.filter(({ name }) => listed?.isOf(slot, name)),
    ];
    const sizes = files.map(({ sizeBytes }) => sizeBytes);
    const other = moved.filter(({ name }) => listed?.isOf(slot === 'a' ? 'b' : 'a', name));
    const otherBytes = takenBytes([Math.max(0, ...other.map(({ sizeBytes }) => sizeBytes))], clusterBytes);
    return { freeBytes, clusterBytes, copies, otherBytes, reclaimableBytes: takenBytes(sizes, clusterBytes) };
  }

  /**
   * Puts the payloads of `image` into the folder of `slot`, in place of all else there, and reads each back before it
   * gets its name. The slot must be bad at the loader, which then starts nothing of that folder; the names that come
   * into being are in no entry yet. Durable when it resolves. Rejects with `boot-partition-full` before anything
   * changes, `boot-partition-failed`, `digest-mismatch`, `download-truncated`, `layer-too-large`, `slot-verify-failed`,
   * or the error of `layers`. May run twice: what is there whole is kept.
   */
  async stage(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    layers: LayerSource,
    onBytes: (role: PayloadRole, stagedBytes: number) => void,
    signal: AbortSignal,
  ): Promise<readonly StagedPayload[]> {
    if (!TrustedDescriptor.isMinted(image)) {
      throw new Error('internal: cannot stage payloads: the image carries no proof of trust');
    }
    const { boot } = image.facts;
    if (boot === undefined) throw new Error('internal: cannot stage payloads: the image has none');
    signal.throwIfAborted();
    const folder = this.#folderOf(slot);
    const planned = planPayloads(boot);
    checkRoom(slot, boot, await this.room(slot));
    await this.#directory.makeFolder(folder);
    // Power lost here: files of a slot that the loader has as bad are gone, some or all of them.
    await this.#removeAllBut(folder, new Set(planned.map(({ name }) => name)));
    let stagedBytes = 0;
    for (const each of planned) {
      signal.throwIfAborted();
      const report = (bytes: number) => onBytes(each.payload.role, stagedBytes + bytes);
      if (!(await this.#isWhole(folder, each))) await this.#place(folder, each, layers, report, signal);
      stagedBytes += each.payload.layerSizeBytes;
      report(0);
    }
    return planned.map(({ payload, name }) => ({ role: payload.role, path: `${folder}/${name}` }));
  }

  #folderOf(slot: 'a' | 'b'): string {
    return `${this.#folder}/${slot}`;
  }

  async #removeAllBut(folder: string, wanted: ReadonlySet<string>): Promise<void> {
    const files = await this.#directory.files(folder);
    for (const { name } of files.filter((file) => !wanted.has(file.name))) {
      await this.#directory.remove(`${folder}/${name}`);
    }
    // Clusters of a name that is only gone in memory may be given to a new file: both names would share them.
    await this.#directory.sync(folder);
  }

  /** Whether an earlier run left the file as it must be; one that is not is removed. */
  async #isWhole(folder: string, { payload, name }: PlannedPayload): Promise<boolean> {
    const file = (await this.#directory.files(folder)).find((each) => each.name.toLowerCase() === name);
    if (file === undefined) return false;
    const isSame = file.sizeBytes === payload.layerSizeBytes;
    if (isSame && (await this.#digestOf(`${folder}/${name}`, payload.layerDigest)) === payload.layerDigest) return true;
    await this.#directory.remove(`${folder}/${name}`);
    await this.#directory.sync(folder);
    return false;
  }

  async #place(
    folder: string,
    { payload, name }: PlannedPayload,
    layers: LayerSource,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `${folder}/${name}`;
    const part = `${path}${unfinished}`;
    const check = new LayerCheck({ name: payload.role, ...payload });
    const content = async function* (): AsyncGenerator<Uint8Array> {
      for await (const bytes of check.pass(layers(payload.layerDigest))) {
        signal.throwIfAborted();
        yield bytes;
        onBytes(check.fetchedBytes);
      }
    };
    try {
      await this.#directory.write(part, content());
      check.assertProven();
      // Power lost here: a part that nothing names, removed by the next run.
      await this.#directory.sync(folder);
      await this.#readBack(part, payload.role, payload.layerDigest);
    } catch (error) {
      // The first error is the reason; what can't be removed now is removed by the next run.
      await Promise.allSettled([this.#directory.remove(part).then(() => this.#directory.sync(folder))]);
      throw error;
    }
    // Power lost in this: the part, the file, both or neither; no entry names either of them yet.
    await this.#directory.rename(part, path);
    await this.#directory.sync(folder);
  }

  async #readBack(path: string, role: PayloadRole, digest: string): Promise<void> {
    const found = await this.#digestOf(path, digest);
    if (found === digest) return;
    throw new PartitionError(
      'slot-verify-failed',
      `cannot verify the ${role}: the boot partition gives back ${found}, not what was written`,
      { details: { path, want: digest, found } },
    );
  }

  async #digestOf(path: string, like: string): Promise<string> {
    const meter = new DigestMeter(like);
    for await (const bytes of this.#directory.content(path)) meter.update(bytes);
    return meter.digest();
  }
}
