import type { SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import { choosingVariables, describeOverride, type EfiVariables, type Override } from './systemd-boot-overrides.ts';
import { looksTorn } from './torn-names.ts';
import { choose, type Menu, type MenuEntry, systemdBootStatus, takenNames } from './systemd-boot-state.ts';

/** What is the same of both types of entries: what may choose before the order does, and what an arming needs. */
export class SystemdBootRules {
  readonly #names: readonly string[];
  readonly #fix: string;
  readonly #variables: EfiVariables | undefined;

  /** `names` are all that files of our slots can have. */
  constructor(prefix: string, names: readonly string[], variables: EfiVariables | undefined) {
    this.#names = names;
    this.#fix = `default ${prefix}-*`;
    this.#variables = variables;
  }

  /** A sentence for each setting or variable that beats the counter. */
  notes(menu: Menu): readonly string[] {
    return menu.overrides
      .filter((each) => takenNames(this.#names, each) === 'some')
      .map((each) => describeOverride(each, this.#fix));
  }

  /** Throws `boot-fallback-missing` unless `slot` is good. */
  requireFallback(menu: Menu, slot: SlotName, verb: string): void {
    const { state } = systemdBootStatus(menu).slots[slot];
    if (state === 'good') return;
    throw new BootloaderError(
      'boot-fallback-missing',
      `cannot ${verb}: slot ${slot} is ${state} at the loader, and nothing else would boot`,
      { details: { slot, state } },
    );
  }

  /**
   * Throws `bootloader-unsupported` when the loader would not boot `armed` of `entries`, as they are to be, by its order
   * and counter alone.
   */
  refuseOverrides(menu: Menu, entries: readonly MenuEntry[], armed: MenuEntry): void {
    const clearable = this.#clearable(menu);
    const overrides = menu.overrides.filter((override) => !clearable.includes(override));
    const { entry, by } = choose({ entries, overrides });
    const taking = (each: Override): 'all' | 'some' | 'none' => takenNames(this.#names, each);
    const pinning = overrides.find((each) => taking(each) === 'some' || (each === by && taking(each) === 'none'));
    let reason: string;
    if (pinning !== undefined) reason = describeOverride(pinning, this.#fix);
    else if (entry?.slot === armed.slot) return;
    else if (looksTorn(entry?.file ?? '')) {
      reason = `${entry?.file ?? ''} stands before it, which looks like what is left of a torn name; check the partition with fsck.vfat while it is not mounted, and remove the file unless it is wanted`;
    } else reason = `entry ${entry?.file ?? ''} stands before it; put "${this.#fix}" into loader/loader.conf`;
    throw new BootloaderError('bootloader-unsupported', `cannot arm slot ${armed.slot ?? ''}: ${reason}`, {
      details: { overrides },
    });
  }

  /** Removes the EFI variables that beat the counter. */
  async clearVariables(menu: Menu): Promise<void> {
    const sources = this.#clearable(menu).map(({ source }) => source);
    for (const name of choosingVariables) if (sources.includes(name)) await this.#variables?.remove(name);
  }

  #clearable(menu: Menu): readonly Override[] {
    return menu.overrides.filter((each) => each.line === undefined && takenNames(this.#names, each) !== 'all');
  }
}
