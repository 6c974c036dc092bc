import type { SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import type { UbootVariable } from './ubootenv.ts';

/** Which variables count; see uboot-dialect.ts. */
export type UbootDialect = 'rauc' | 'bootcount';

/** How the node's slots and tries are named and counted at the loader. */
export interface UbootLayout {
  readonly dialect: UbootDialect;
  readonly bootNames: Readonly<Record<SlotName, string>>;
  /** The boots that a proven slot has until somebody must renew them; `bootcount` does not count proven slots. */
  readonly tries: number;
  /** The variable that names the slot in the `bootcount` dialect; `boot_slot` when it is not given. */
  readonly slotVariable?: string | undefined;
}

/** Our part of the environment, as values. */
export interface UbootState {
  /** The slots that may boot, first is tried first. One that is not in it is bad. */
  readonly order: readonly [SlotName] | readonly [SlotName, SlotName];
  readonly triesLeft: Readonly<Record<SlotName, number>>;
  readonly trial: SlotName | undefined;
  readonly trialTries: number;
}

/** Reads values by their names; a missing or impossible one is `boot-env-corrupt`. */
export interface UbootValues {
  /** The value of a variable that must be there. */
  readonly required: (name: string) => string;
  readonly optional: (name: string) => string | undefined;
  /** The slot of a boot name. */
  readonly slot: (name: string, bootName: string) => SlotName;
  /** The slots of a list of boot names, at least one, none twice. */
  readonly slots: (name: string) => readonly [SlotName] | readonly [SlotName, SlotName];
  readonly decimal: (name: string) => number;
}

/** The error of an environment that cannot be understood. */
export function corruptVariables(reason: string, variable: string): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read the U-Boot environment: ${reason}`, {
    details: { variable },
  });
}

/** Our side of `variables`; every reading throws `boot-env-corrupt` instead of guessing. */
export function readValues({ bootNames }: UbootLayout, variables: readonly UbootVariable[]): UbootValues {
  const values = new Map(variables);
  const required = (name: string): string => {
    const value = values.get(name);
    if (value === undefined) throw corruptVariables(`variable ${name} is missing`, name);
    return value;
  };
  const slot = (name: string, bootName: string): SlotName => {
    if (bootName === bootNames.a) return 'a';
    if (bootName === bootNames.b) return 'b';
    throw corruptVariables(`variable ${name} names ${JSON.stringify(bootName)}, which is no slot`, name);
  };
  const slots = (name: string): readonly [SlotName] | readonly [SlotName, SlotName] => {
    const [first, second, ...rest] = required(name)
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => slot(name, word));
    if (first === undefined || rest.length > 0 || first === second) {
      throw corruptVariables(`variable ${name} is ${JSON.stringify(required(name))}, want one or two slots`, name);
    }
    return second === undefined ? [first] : [first, second];
  };
  const decimal = (name: string): number => {
    const value = required(name);
    if (!/^[0-9]{1,9}$/.test(value)) {
      throw corruptVariables(`variable ${name} is ${JSON.stringify(value)}, want a number`, name);
    }
    return Number(value);
  };
  return { required, optional: (name) => values.get(name), slot, slots, decimal };
}
