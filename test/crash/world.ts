import type { SlotName } from '../../agent/core/update-state.ts';
import type { Clock } from '../../agent/core/ports.ts';
import { MemorySlotDevices } from '../fakes/memory-block-device.ts';
import { MemoryCheckpoints } from '../fakes/memory-checkpoints.ts';
import { MemoryFacts } from '../fakes/memory-facts.ts';
import { MemoryJournal } from '../fakes/memory-journal.ts';
import { MemoryWrittenRecords } from '../fakes/memory-written-records.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { CrashRegistry, type CrashImage, makeImage, partitionBytes } from './images.ts';
import { type LoaderName, type LoaderTwin, makeLoaderTwin } from './loader-twin.ts';

/** The power is gone: whatever runs ends here. */
export class PowerCut extends Error {}

/** How unsynced sectors fare at a power cut. */
export type Fates = 'lost' | 'written' | { readonly seed: number };

/** When to cut, counted in durable steps over all boots, and what the loader is. */
export interface CrashPlan {
  readonly loader: LoaderName;
  readonly cuts: readonly number[];
  readonly fates: Fates;
}

/** A clock in which waiting takes no time. */
class InstantClock implements Clock {
  #nowMs = 1_750_000_000_000;
  #monotonicMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#nowMs += durationMs;
    this.#monotonicMs += durationMs;
  }

  reboot(): void {
    this.#nowMs += 20_000;
    this.#monotonicMs = 0;
  }
}

const firstBlockBytes = 4096;
const sectorBytes = 512;

/** Whether `bytes` hold a sector of the first block of `content`, and not the rest of it. */
function isHalf(bytes: Uint8Array, content: Uint8Array): boolean {
  const isSame = (from: number, to: number) =>
    Buffer.compare(bytes.subarray(from, to), content.subarray(from, to)) === 0;
  const hasBegun = Array.from({ length: firstBlockBytes / sectorBytes }, (_, index) => index * sectorBytes).some((at) =>
    isSame(at, at + sectorBytes),
  );
  return hasBegun && !isSame(firstBlockBytes, content.byteLength);
}

export const factory: CrashImage = makeImage('factory', 'healthy');

/** A node's hardware: everything that survives a boot, the loader that starts it, and the switch that cuts its power. */
export class World {
  readonly plan: CrashPlan;
  readonly loader: LoaderTwin;
  readonly devices: MemorySlotDevices;
  readonly journal: MemoryJournal;
  readonly facts: MemoryFacts;
  readonly records: MemoryWrittenRecords;
  /** Where an image has an index: of the others none is ever kept. */
  readonly checkpoints: MemoryCheckpoints | undefined;
  readonly clock = new InstantClock();
  readonly registry: CrashRegistry;
  readonly images: readonly CrashImage[];
  /** Names of the steps, in order. */
  readonly steps: string[] = [];
  cutCount = 0;
  #isOff = false;
  #isAtFactory = true;

  constructor(plan: CrashPlan, images: readonly CrashImage[]) {
    const beforeStep = (name: string) => this.#beforeStep(name);
    this.plan = plan;
    this.images = [factory, ...images];
    this.registry = new CrashRegistry(images, plan.loader === 'systemd-boot-uki' ? 'uki' : 'kernel');
    this.loader = makeLoaderTwin(plan.loader, factory.kernel, beforeStep);
    const partitions = { boot: { sizeBytes: partitionBytes.boot }, root: { sizeBytes: partitionBytes.root } };
    this.devices = new MemorySlotDevices({ slots: { a: partitions, b: partitions }, beforeStep });
    this.journal = new MemoryJournal(beforeStep);
    this.facts = new MemoryFacts(beforeStep);
    this.records = new MemoryWrittenRecords(beforeStep);
    this.checkpoints = images.some(({ isIndexed }) => isIndexed) ? new MemoryCheckpoints(beforeStep) : undefined;
  }

  /**
   * Puts the factory's image into slot a, and `older` into slot b as one that was proven once, and provisions the loader:
   * with nobody cutting the power.
   */
  async provision(older?: CrashImage): Promise<void> {
    for (const [name, content] of Object.entries(factory.partitions)) this.devices.disk('a', name).corrupt(0, content);
    for (const [name, content] of Object.entries(older?.partitions ?? {}))
      this.devices.disk('b', name).corrupt(0, content);
    const loader = this.loader.adapter();
    await loader.repair('a', older !== undefined);
    if (older === undefined) await loader.markBad('b');
    else for (const slot of ['b', 'a'] as const) await loader.markGood(slot);
    this.#isAtFactory = false;
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  /** The loader starts a slot. */
  boot(): SlotName | 'rescue' {
    this.#isOff = false;
    this.clock.reboot();
    return this.loader.boot();
  }

  /** Switches the node off: what was not synced meets its fate. */
  powerOff(): void {
    const random = new SeededRandom(typeof this.plan.fates === 'string' ? 0 : this.plan.fates.seed + this.cutCount);
    const fate = () => {
      if (this.plan.fates === 'lost' || this.plan.fates === 'written') return this.plan.fates;
      return random.fraction() < 0.5 ? 'lost' : 'written';
    };
    this.loader.losePower(fate);
    this.devices.powerCut(fate);
    this.journal.losePower();
  }

  /** The complete image that a slot's disks hold, or `undefined` for anything else. */
  imageIn(slot: SlotName): CrashImage | undefined {
    return this.images.find((image) =>
      Object.entries(image.partitions).every(([name, content]) => {
        const found = this.devices.disk(slot, name).durableBytes();
        return Buffer.compare(found.subarray(0, content.byteLength), content) === 0;
      }),
    );
  }

  /** The partitions with a part of an image's first block, and without the rest of that image. */
  halfWritten(): readonly string[] {
    return (['a', 'b'] as const).flatMap((slot) =>
      Object.keys(partitionBytes)
        .filter((name) => {
          const bytes = this.devices.disk(slot, name).durableBytes();
          return this.images.some(({ partitions }) => isHalf(bytes, partitions[name] ?? bytes));
        })
        .map((name) => `${slot}/${name}`),
    );
  }

  #beforeStep(name: string): void {
    if (this.#isAtFactory) return;
    if (this.#isOff) throw new PowerCut(`off before ${name}`);
    if (this.plan.cuts.includes(this.steps.length)) {
      this.#isOff = true;
      this.cutCount += 1;
    }
    this.steps.push(name);
    if (this.#isOff) throw new PowerCut(`cut before ${name}`);
  }
}
