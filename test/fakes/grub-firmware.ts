/**
 * GRUB at boot, in simulation: the rules of bootloader/scripts/grub.cfg and of RAUC's grub.cfg over the bytes of a real
 * environment block. It shares no code with the product, so that both can only be wrong separately.
 */

export interface GrubBoot {
  /** The boot name that starts, or `rescue` where the script has nothing left to try. */
  readonly started: string;
  /** The block as `save_env` leaves it. */
  readonly block: Uint8Array;
}

export interface GrubScript {
  readonly dialect: 'kaon' | 'rauc';
  readonly names: readonly [string, string];
  /** What grub.cfg's `kaon_full` is set to. */
  readonly full: number;
}

type Values = Map<string, string>;

const magic = '# GRUB Environment Block\n';

/** What `load_env` makes of a block: nothing at all where the signature is missing. */
function loadEnv(block: Uint8Array | undefined): Values {
  const values: Values = new Map();
  if (block === undefined) return values;
  const text = Buffer.from(block).toString('latin1');
  if (!text.startsWith(magic)) return values;
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (line.startsWith('#') || equals < 1) continue;
    values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return values;
}

/** What `save_env` does: values of known names are replaced where they stand, in a block that has the signature. */
function saveEnv(block: Uint8Array, values: Values, names: readonly string[]): Uint8Array {
  let text = Buffer.from(block).toString('latin1');
  if (!text.startsWith(magic)) return block;
  for (const name of names) {
    const value = values.get(name);
    if (value === undefined) continue;
    const line = new RegExp(`^${name}=.*$`, 'm');
    if (line.test(text)) text = text.replace(line, `${name}=${value}`);
  }
  const body = text.replace(/#*$/, '');
  return Buffer.from(body.padEnd(block.byteLength, '#'), 'latin1');
}

/** One boot: chooses a slot by the script's rules and saves what it counts. `shadow` is `grubenv.kaon`. */
export function bootGrub(script: GrubScript, block: Uint8Array, shadow?: Uint8Array): GrubBoot {
  return script.dialect === 'kaon' ? bootKaon(script, block, shadow) : bootRauc(script, block);
}

function bootKaon({ names, full }: GrubScript, block: Uint8Array, shadow: Uint8Array | undefined): GrubBoot {
  let values = loadEnv(block);
  if ((values.get('ORDER') ?? '') === '') values = loadEnv(shadow);
  if ((values.get('ORDER') ?? '') === '') {
    values = new Map([
      ['ORDER', names.join(' ')],
      ...names.flatMap((n) => [[`${n}_OK`, '1'] as const, [`${n}_LEFT`, '1'] as const]),
    ]);
  }
  let chosen = chooseKaon(names, values);
  if (chosen === undefined) {
    for (const name of names) {
      if (values.get(`${name}_OK`) === '1' && values.get('kaon_trial') !== name)
        values.set(`${name}_LEFT`, String(full));
    }
    chosen = chooseKaon(names, values);
  }
  const saved = saveEnv(
    block,
    values,
    names.map((name) => `${name}_LEFT`),
  );
  return { started: chosen ?? names[0], block: saved };
}

function chooseKaon(names: readonly string[], values: Values): string | undefined {
  for (const candidate of (values.get('ORDER') ?? '').split(' ')) {
    const left = values.get(`${candidate}_LEFT`) ?? '';
    if (names.includes(candidate) && values.get(`${candidate}_OK`) === '1' && /^[1-9]$/.test(left)) {
      values.set(`${candidate}_LEFT`, String(Number(left) - 1));
      return candidate;
    }
  }
  return undefined;
}

function bootRauc({ names }: GrubScript, block: Uint8Array): GrubBoot {
  const values = loadEnv(block);
  const saves = names.flatMap((name) => [`${name}_TRY`, `${name}_OK`]);
  for (const candidate of (values.get('ORDER') ?? '').split(' ')) {
    if (names.includes(candidate) && values.get(`${candidate}_OK`) === '1' && values.get(`${candidate}_TRY`) === '0') {
      values.set(`${candidate}_TRY`, '1');
      return { started: candidate, block: saveEnv(block, values, saves) };
    }
  }
  for (const name of names) {
    if (values.get(`${name}_OK`) === '1' && values.get(`${name}_TRY`) === '1') values.set(`${name}_TRY`, '0');
  }
  return { started: 'rescue', block: saveEnv(block, values, saves) };
}
