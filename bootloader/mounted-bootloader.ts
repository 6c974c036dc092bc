import type { BootloaderCapabilities, BootStatus, SlotName, StagingBootloader } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import type { SlotEntry } from './slot-entry.ts';

/** Runs something while the loader's partitions are mounted: for reading, for a change, or for one that must not fail. */
export type WithLoader = <T>(
  access: 'read' | 'write' | 'rescue',
  act: (loader: StagingBootloader) => Promise<T>,
) => Promise<T>;

/**
 * A loader whose partitions are mounted around each verb. What keeps the node on a slot that boots is done on a file
 * system that was not left in order, too; what begins something new is not.
 */
export class MountedBootloader implements StagingBootloader {
  readonly capabilities: BootloaderCapabilities;
  readonly canary: LoaderCanary | undefined;
  readonly #withLoader: WithLoader;

  /** `hasCanary`: the loaders that `withLoader` brings have one. */
  constructor(capabilities: BootloaderCapabilities, hasCanary: boolean, withLoader: WithLoader) {
    this.capabilities = capabilities;
    this.canary = hasCanary ? mountedCanary(withLoader) : undefined;
    this.#withLoader = withLoader;
  }

  async readStatus(): Promise<BootStatus> {
    return this.#withLoader('read', (loader) => loader.readStatus());
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#withLoader('rescue', (loader) => loader.markBad(slot));
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    await this.#withLoader('write', (loader) => loader.activate(slot, tries));
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#withLoader('rescue', (loader) => loader.markGood(slot));
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#withLoader('rescue', (loader) => loader.repair(booted, isOtherGood));
  }

  async stageEntry(slot: SlotName, entry: SlotEntry): Promise<void> {
    await this.#withLoader('write', (loader) => loader.stageEntry(slot, entry));
  }
}

function mountedCanary(withLoader: WithLoader): LoaderCanary {
  const withCanary = <T>(access: 'read' | 'write' | 'rescue', act: (canary: LoaderCanary) => Promise<T>): Promise<T> =>
    withLoader(access, ({ canary }) => {
      if (canary === undefined) throw new Error('internal: the loader has no canary');
      return act(canary);
    });
  return {
    rebootArgument: undefined,
    arm: (booted) => withCanary('write', (canary) => canary.arm(booted)),
    read: (booted) => withCanary('read', (canary) => canary.read(booted)),
    clear: (booted) => withCanary('rescue', (canary) => canary.clear(booted)),
  };
}
