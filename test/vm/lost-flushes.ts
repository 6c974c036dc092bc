import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../bootloader/bootloader.ts';
import { offsetOf, partitions } from './disk.ts';
import type { VmImage } from './images.ts';
import { bootToRest, failuresOf, newDisk, readResult } from './life.ts';
import type { LoaderState } from './loader.ts';
import { Machine } from './machine.ts';
import { type RecordedWrite, readFlushes } from './recorded-writes.ts';
import type { Played, VmResult } from './scenario.ts';
import { shell } from './shell.ts';
import { SlotWatch } from './slot-watch.ts';
import type { Stage } from './stage.ts';

/** Most states of the loader that are booted. */
const mostBooted = 12;
const sectorBytes = 512;
/** Longest write that is taken apart into its sectors. */
const tornWriteBytes = 8192;

/**
 * Records all writes of an upgrade, and plays them again up to each flush. Between two flushes those to the ESP come
 * first, sector by sector, as if a disk had kept all others back until the power went. Whatever the loader would boot at
 * any of these moments must be there from its first byte to its last. Each state of the loader that comes up is then
 * booted as it was. Resolves to what did not hold.
 */
export async function playLostFlushes(stage: Stage, folder: string, signal: AbortSignal): Promise<Played> {
  const image = await stage.shop.push('v2', 'healthy');
  const disk = await newDisk(stage, folder, [image]);
  const replayed = join(folder, 'replayed.img');
  await shell(`cp --sparse=always ${disk} ${replayed}`);
  const machine = new Machine(disk, folder, stage.machine.firmware, true);
  const ends = await bootToRest(machine, signal);
  const recorded = await readResult({ stage, disk, folder, images: [image], machine, ends });
  const failures = [...failuresOf({ 'the recorded upgrade is committed': recorded.status.booted === 'b' })];
  const replay = await Replay.open(stage, replayed, image, recorded.loader);
  try {
    const seen = new Set<string>();
    for await (const moment of replay.play(machine.recordings)) {
      failures.push(...moment.failures);
      if (seen.has(moment.state.text)) continue;
      seen.add(moment.state.text);
      if (seen.size <= mostBooted)
        failures.push(...(await bootAgain(stage, folder, replayed, image, seen.size, signal)));
    }
    console.log(`       ${replay.flushes} flushes, ${replay.moments} moments, ${seen.size} states of the loader`);
    for (const text of seen) console.log(`         ${text}`);
  } finally {
    await replay.close();
  }
  await shell(`rm -f ${machine.recordings.join(' ')}`);
  return { failures };
}

/** Boots a copy of the disk as it is at this moment until the node comes to rest. */
async function bootAgain(
  stage: Stage,
  parent: string,
  replayed: string,
  image: VmImage,
  number: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const folder = join(parent, `state-${number}`);
  await mkdir(folder);
  const disk = join(folder, 'disk.img');
  await shell(`cp --sparse=always ${replayed} ${disk}`);
  const machine = new Machine(disk, folder, stage.machine.firmware);
  const ends = await bootToRest(machine, signal);
  const result = await readResult({ stage, disk, folder, images: [image], machine, ends });
  const failures = failuresOf(atRest(result, image)).map((text) => `booted in state ${number}: ${text}`);
  if (failures.length === 0) await shell(`rm -rf ${folder}`);
  return failures;
}

/** What holds for a node whose power went at any moment of an upgrade, once it came to rest. */
export function atRest(result: VmResult, image: VmImage): Readonly<Record<string, boolean>> {
  const { booted, primary, degraded } = result.status;
  return {
    'slot a runs, or slot b with the whole image': booted === 'a' || (booted === 'b' && result.slotB === image.version),
    'what runs is primary': booted === primary,
    'no trial is left': result.loader.trial === undefined,
    'the agent is not degraded': degraded.length === 0,
    'no unit failed': result.failedUnits === '',
  };
}

/** What holds at one moment. */
interface Moment {
  readonly state: LoaderState;
  readonly failures: readonly string[];
}

/** A disk that gets a machine's writes once more. */
export class Replay {
  readonly #stage: Stage;
  readonly #path: string;
  readonly #disk: FileHandle;
  readonly #images: readonly FileHandle[];
  readonly #slots: Readonly<Record<SlotName, SlotWatch>>;
  readonly #payloads: Readonly<Partial<Record<SlotName, string>>>;
  flushes = 0;
  moments = 0;

  private constructor(
    ports: { stage: Stage; path: string; disk: FileHandle; a: FileHandle; b: FileHandle },
    payloads: Readonly<Partial<Record<SlotName, string>>>,
  ) {
    const { disk } = ports;
    this.#payloads = payloads;
    const watch = (name: 'slot-a' | 'slot-b', image: FileHandle) =>
      new SlotWatch({ disk, image, offsetBytes: offsetOf(name), sizeBytes: partitions[name].sizeMiB * 1024 * 1024 });
    this.#stage = ports.stage;
    this.#path = ports.path;
    this.#disk = disk;
    this.#images = [ports.a, ports.b];
    this.#slots = { a: watch('slot-a', ports.a), b: watch('slot-b', ports.b) };
  }

  /** `last` is the state that the recorded machine ended in: slot b's payload is whole there. */
  static async open(stage: Stage, path: string, image: VmImage, last: LoaderState): Promise<Replay> {
    const first = await stage.machine.loader.readState(path);
    const [disk, a, b] = await Promise.all([open(path, 'r+'), open(stage.factoryFile, 'r'), open(image.file, 'r')]);
    const replay = new Replay({ stage, path, disk, a, b }, { ...last.payloads, ...first.payloads });
    await Promise.all([replay.#slots.a.look(), replay.#slots.b.look()]);
    return replay;
  }

  async close(): Promise<void> {
    for (const file of [this.#disk, ...this.#images]) await file.close();
  }

  /** Every moment at which the loader's state or a slot is another than before; the disk is then as it was. */
  async *play(recordings: readonly string[]): AsyncGenerator<Moment> {
    yield this.#moment('at the start');
    for (const [boot, recording] of recordings.entries()) {
      for await (const { writes } of readFlushes(recording)) {
        const where = `boot ${boot + 1}, flush ${(this.flushes += 1)}`;
        const [loader, others] = [writes.filter(isOnEsp), writes.filter((write) => !isOnEsp(write))];
        for (const piece of loader.flatMap(pieces)) {
          await this.#apply(piece);
          yield this.#moment(`${where}, what the loader reads`);
        }
        let isSlotTouched = false;
        for (const write of others) isSlotTouched = (await this.#apply(write)) || isSlotTouched;
        if (isSlotTouched) yield this.#moment(where);
      }
    }
  }

  /** Resolves to whether the write was to a slot. */
  async #apply({ offsetBytes, read }: RecordedWrite): Promise<boolean> {
    const bytes = await read();
    await this.#disk.write(bytes, 0, bytes.byteLength, offsetBytes);
    const end = offsetBytes + bytes.byteLength;
    const isInA = await this.#slots.a.look(offsetBytes, end);
    return (await this.#slots.b.look(offsetBytes, end)) || isInA;
  }

  async #moment(where: string): Promise<Moment> {
    this.moments += 1;
    const state = await this.#stage.machine.loader.readState(this.#path);
    const { a, b } = state.canBoot;
    const failures = failuresOf({
      'the loader has a slot to boot': a || b,
      'slot a is whole where the loader may boot it': !a || this.#slots.a.isComplete,
      'slot b is whole where the loader may boot it': !b || this.#slots.b.isComplete,
      'what is started of slot a is whole': !a || state.payloads?.a === this.#payloads.a,
      'what is started of slot b is whole': !b || state.payloads?.b === this.#payloads.b,
    });
    return { state, failures: failures.map((text) => `${where}: ${text} (${state.text})`) };
  }
}

function isOnEsp({ offsetBytes }: RecordedWrite): boolean {
  const first = offsetOf('esp');
  return offsetBytes >= first && offsetBytes < first + partitions.esp.sizeMiB * 1024 * 1024;
}

/** A small write as the sectors that power may tear it into. */
function pieces(write: RecordedWrite): readonly RecordedWrite[] {
  if (write.sizeBytes > tornWriteBytes) return [write];
  return Array.from({ length: write.sizeBytes / sectorBytes }, (_, index) => ({
    offsetBytes: write.offsetBytes + index * sectorBytes,
    sizeBytes: sectorBytes,
    read: async () => (await write.read()).subarray(index * sectorBytes, (index + 1) * sectorBytes),
  }));
}
