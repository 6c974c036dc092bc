import type { Bootloader, BootloaderCapabilities, BootStatus, SlotName } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import type { DiskRegions } from './disk-regions.ts';
import { BootloaderError } from './errors.ts';
import {
  armedBits,
  badBits,
  canaryBits,
  canaryOf,
  goodBits,
  type GptState,
  gptStatus,
  mostGptTries,
  parseBits,
  type SlotBits,
  withBits,
} from './gpt-bits.ts';
import { type GptEntry, withAttributes } from './gpt-codec.ts';
import { type GptTables, readTables, writeTables } from './gpt-tables.ts';

type Slots<T> = Readonly<Record<SlotName, T>>;

interface Found {
  readonly tables: GptTables;
  readonly entries: Slots<GptEntry>;
  readonly state: GptState;
}

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

function unsupported(reason: string, details: Readonly<Record<string, unknown>> = {}): BootloaderError {
  return new BootloaderError('bootloader-unsupported', `cannot drive the partition table: ${reason}`, { details });
}

/** ChromeOS's firmware, Flatcar's and Bottlerocket's GRUB, by the attributes of the slots' partitions. */
export class GptBootloader implements Bootloader {
  readonly #disk: DiskRegions;
  readonly #guids: Slots<string>;

  /**
   * `guids` are those of the partitions that the loader chooses from, one of each slot. Throws `bootloader-unsupported`
   * when they are no two GUIDs.
   */
  constructor(disk: DiskRegions, guids: Slots<string>) {
    this.#guids = { a: guids.a.toLowerCase(), b: guids.b.toLowerCase() };
    for (const guid of [this.#guids.a, this.#guids.b]) {
      if (!guidPattern.test(guid)) throw unsupported(`${JSON.stringify(guid)} is no GUID`);
    }
    if (this.#guids.a === this.#guids.b) throw unsupported('both slots have the same partition');
    this.#disk = disk;
  }

  get capabilities(): BootloaderCapabilities {
    return {
      maxTries: mostGptTries,
      armed: 'durable',
      atomicity: 'copies',
      countsBeforeUserspace: true,
      countsProven: false,
    };
  }

  /** gptprio takes a try of a proven slot, too; ChromeOS's firmware does not, and is never shown to count by this. */
  get canary(): LoaderCanary {
    return {
      rebootArgument: undefined,
      arm: (booted) =>
        this.#change((state) => {
          requireFallback(state, booted, 'test the loader');
          return canaryBits(state, booted);
        }),
      read: async (booted) => (canaryOf((await this.#read()).state, booted) === 'changed' ? 'changed' : 'unchanged'),
      clear: (booted) =>
        this.#change((state) => (canaryOf(state, booted) === 'none' ? state.slots : goodBits(state, booted))),
    };
  }

  async readStatus(): Promise<BootStatus> {
    return gptStatus((await this.#read()).state);
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#change((state) => {
      requireFallback(state, otherSlot(slot), `mark slot ${slot} bad`);
      return badBits(slot);
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    if (!Number.isInteger(tries) || tries < 1 || tries > mostGptTries) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot arm slot ${slot} with ${tries} tries: this loader counts 1 to ${mostGptTries}`,
      );
    }
    await this.#change((state) => {
      requireFallback(state, otherSlot(slot), `arm slot ${slot}`);
      return armedBits(slot, tries);
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#change((state) => goodBits(state, slot));
  }

  /**
   * Writes a table that is broken or behind anew from the one that counts. Resolves to `true` only when no slot of the
   * tables would boot and the bits had to be made up. Rejects with `boot-env-corrupt` when neither table is valid: the
   * partitions of a disk cannot be guessed from the slot that booted.
   */
  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#disk.locked(async () => {
      const found = await this.#read();
      const isDead = gptStatus(found.state).primary === undefined;
      const slots = badBits(otherSlot(booted));
      const good: SlotBits = { priority: 1, tries: 0, isSuccessful: true };
      const made = isOtherGood ? { ...slots, [otherSlot(booted)]: good } : slots;
      await this.#write(found, isDead ? made : found.state.slots);
      return isDead;
    });
  }

  async #change(change: (state: GptState) => Slots<SlotBits>): Promise<void> {
    await this.#disk.locked(async () => {
      const found = await this.#read();
      await this.#write(found, change(found.state));
    });
  }

  async #write({ tables, entries }: Found, slots: Slots<SlotBits>): Promise<void> {
    const changes = new Map([
      [entries.a.index, withBits(entries.a.attributes, slots.a)],
      [entries.b.index, withBits(entries.b.attributes, slots.b)],
    ]);
    await writeTables(this.#disk, tables, withAttributes(tables.headers[tables.counting], tables.array, changes));
  }

  async #read(): Promise<Found> {
    const tables = await readTables(this.#disk);
    const entries = { a: this.#find(tables, 'a'), b: this.#find(tables, 'b') };
    const { a, b } = entries;
    if (a.typeGuid !== b.typeGuid) throw unsupported('the slots’ partitions are of different types');
    for (const { index, typeGuid, guid, attributes } of tables.entries) {
      if (typeGuid !== a.typeGuid || index === a.index || index === b.index) continue;
      const { priority, tries, isSuccessful } = parseBits(attributes);
      // It could win over both slots, and no change of ours would keep it from booting.
      if (priority > 0 && (tries > 0 || isSuccessful)) {
        throw unsupported(`partition ${guid} is of the slots’ type and may boot, too`, { guid });
      }
    }
    const slots = { a: parseBits(a.attributes), b: parseBits(b.attributes) };
    return { tables, entries, state: { slots, first: a.index < b.index ? 'a' : 'b' } };
  }

  #find(tables: GptTables, slot: SlotName): GptEntry {
    const guid = this.#guids[slot];
    const [entry, ...more] = tables.entries.filter((candidate) => candidate.guid === guid);
    if (entry === undefined || more.length > 0) {
      throw unsupported(`the disk has ${more.length === 0 ? 'no' : 'more than one'} partition ${guid}`, { slot, guid });
    }
    return entry;
  }
}

function requireFallback(state: GptState, slot: SlotName, verb: string): void {
  const { slots } = gptStatus(state);
  if (slots[slot].state === 'good') return;
  throw new BootloaderError(
    'boot-fallback-missing',
    `cannot ${verb}: slot ${slot} is ${slots[slot].state} at the loader, and nothing else would boot`,
    { details: { slot, state: slots[slot].state } },
  );
}
