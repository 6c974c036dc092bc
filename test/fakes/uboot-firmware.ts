/**
 * U-Boot at boot, in simulation: it picks the valid copy of its environment, runs the rules of scripts/boot.cmd, of
 * scripts/bootcount.cmd or of RAUC's script, and saves as `saveenv` does. It shares no code with the product.
 */

export interface UbootBoot {
  /** The boot name that starts, or `rescue` where the script ends without one. */
  readonly started: string;
  /** The copies as `saveenv` leaves them. */
  readonly copies: readonly Uint8Array[];
}

export interface UbootScript {
  /** `kaon`: boot.cmd; `rauc`: RAUC's own script; `bootcount`: bootcount.cmd under U-Boot's counter. */
  readonly rules: 'kaon' | 'rauc' | 'bootcount';
  readonly names: readonly [string, string];
  /** The boots that a slot gets back. */
  readonly full: number;
  /** The driver marks copies active (1) and obsolete (0), as on NOR flash, instead of numbering them. */
  readonly hasBooleanFlags?: boolean;
  /** boot.cmd with `kaon_files`: the copies are two files without flags, told apart by `kaon_sequence`. */
  readonly hasFiles?: boolean;
  /** U-Boot's driver cannot write the environment. */
  readonly cannotSave?: boolean;
}

type Values = Map<string, string>;

interface Machine {
  readonly values: Values;
  readonly save: () => boolean;
}

function checksum(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return (register ^ 0xffffffff) >>> 0;
}

function littleEndian(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

/** What boot.cmd takes out of its files, and all that it puts into them. */
const namesInFiles = ['BOOT_ORDER', 'BOOT_A_LEFT', 'BOOT_B_LEFT', 'kaon_trial', 'kaon_tries', 'kaon_sequence'];

function headBytesOf({ hasFiles }: UbootScript, copies: readonly Uint8Array[]): number {
  return copies.length === 2 && hasFiles !== true ? 5 : 4;
}

/** Index of the copy that U-Boot or its script imports, or -1 for the compiled-in environment. */
function pick(script: UbootScript, copies: readonly Uint8Array[]): number {
  const headBytes = headBytesOf(script, copies);
  const sound = copies.map((copy) => littleEndian(copy) === checksum(copy.subarray(headBytes)));
  if (script.hasFiles === true) return pickFile(copies, sound);
  if (sound[0] !== true || sound[1] !== true) return sound.indexOf(true);
  const [one, two] = [copies[0]?.[4] ?? 0, copies[1]?.[4] ?? 0];
  if (script.hasBooleanFlags === true) return one === 0 && two !== 0 ? 1 : 0;
  if (one === 255 && two === 0) return 1;
  if (two === 255 && one === 0) return 0;
  return two > one ? 1 : 0;
}

function pickFile(files: readonly Uint8Array[], sound: readonly boolean[]): number {
  let newest = -1;
  let best = 0;
  files.forEach((file, index) => {
    const sequence = sound[index] === true ? load(file, 4).get('kaon_sequence') : undefined;
    if (sequence === undefined || sequence === '' || (newest !== -1 && Number.parseInt(sequence, 16) <= best)) return;
    newest = index;
    best = Number.parseInt(sequence, 16);
  });
  return newest;
}

function load(copy: Uint8Array, headBytes: number): Values {
  const values: Values = new Map();
  for (const entry of Buffer.from(copy.subarray(headBytes)).toString('latin1').split('\0')) {
    if (entry === '') break;
    const equals = entry.indexOf('=');
    values.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  return values;
}

/** `saveenv`, or the script's `env export`: sorted by name, without what is empty, into the other copy where there are two. */
function store(
  script: UbootScript,
  copies: readonly Uint8Array[],
  current: number,
  values: Values,
): readonly Uint8Array[] {
  const { hasFiles, hasBooleanFlags } = script;
  const headBytes = headBytesOf(script, copies);
  const target = copies.length === 2 && current !== 1 ? 1 : 0;
  if (hasFiles === true) {
    values.set('kaon_sequence', (Number.parseInt(values.get('kaon_sequence') ?? '', 16) + 1).toString(16));
  }
  const lines = [...values]
    .filter(([name, value]) => value !== '' && (hasFiles !== true || namesInFiles.includes(name)))
    .map(([name, value]) => `${name}=${value}\0`);
  const copy = new Uint8Array(copies[0]?.byteLength ?? 0);
  copy.set(Buffer.from(`${lines.sort().join('')}\0`, 'latin1'), headBytes);
  if (headBytes === 5) copy[4] = hasBooleanFlags === true ? 1 : ((copies[current]?.[4] ?? 0) + 1) & 255;
  new DataView(copy.buffer).setUint32(0, checksum(copy.subarray(headBytes)), true);
  return copies.map((bytes, index) => (index === target ? copy : hasBooleanFlags === true ? obsoleted(bytes) : bytes));
}

function obsoleted(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[4] = 0;
  return copy;
}

/** One boot: from power on through any reset of the script's own to what starts. */
export function bootUboot(script: UbootScript, copies: readonly Uint8Array[]): UbootBoot {
  let disk = copies;
  for (let resets = 0; resets < 3; resets += 1) {
    const current = pick(script, disk);
    const picked = disk[current];
    const values: Values = picked === undefined ? new Map<string, string>() : load(picked, headBytesOf(script, disk));
    const save = (): boolean => {
      if (script.cannotSave === true) return false;
      disk = store(script, disk, current, values);
      return true;
    };
    const run = { kaon: runKaon, rauc: runRauc, bootcount: runBootcount }[script.rules];
    const started = run(script, { values, save });
    if (started !== 'reset') return { started, copies: disk };
  }
  throw new Error('the script resets for ever');
}

function words(text: string | undefined): readonly string[] {
  return (text ?? '').split(' ').filter((word) => word !== '');
}

function runKaon({ names, full }: UbootScript, { values, save }: Machine): string {
  const order = words(values.get('BOOT_ORDER'));
  if (order.length === 0) return names[0];
  const proven = order.filter((name) => name !== values.get('kaon_trial'));
  const digits = '0123456789abcdef';
  const able = order.find((name) => {
    const left = values.get(`BOOT_${name}_LEFT`) ?? '';
    return left.length === 1 && digits.indexOf(left) > 0;
  });
  if (able !== undefined) {
    const left = `BOOT_${able}_LEFT`;
    values.set(left, digits.charAt(digits.indexOf(values.get(left) ?? '') - 1));
    if (save()) return able;
    return proven.includes(able) ? able : (proven[0] ?? 'rescue');
  }
  for (const name of proven) values.set(`BOOT_${name}_LEFT`, String(full));
  if (proven.length > 0 && save()) return 'reset';
  return proven[0] ?? 'rescue';
}

function runRauc({ names, full }: UbootScript, { values, save }: Machine): string {
  if (!values.has('BOOT_ORDER')) values.set('BOOT_ORDER', names.join(' '));
  for (const name of names) if (!values.has(`BOOT_${name}_LEFT`)) values.set(`BOOT_${name}_LEFT`, String(full));
  for (const name of words(values.get('BOOT_ORDER'))) {
    const left = Number.parseInt(values.get(`BOOT_${name}_LEFT`) ?? '', 16);
    if (left > 0) {
      values.set(`BOOT_${name}_LEFT`, (left - 1).toString(16));
      save();
      return name;
    }
  }
  for (const name of names) values.set(`BOOT_${name}_LEFT`, String(full));
  return save() ? 'reset' : 'rescue';
}

function runBootcount({ names }: UbootScript, { values, save }: Machine): string {
  if (Number(values.get('upgrade_available') ?? 0) !== 0) {
    values.set('bootcount', String(Number(values.get('bootcount') ?? 0) + 1));
    save();
  } else {
    values.set('bootcount', '1');
  }
  const slot = values.get('boot_slot');
  if (slot === undefined) return names[0];
  const [count, limit] = [values.get('bootcount'), values.get('bootlimit')];
  const isCounted = values.get('upgrade_available') === '1' && count !== undefined && limit !== undefined;
  if (slot !== values.get('kaon_trial') || (isCounted && Number(count) <= Number(limit))) return slot;
  const fallback = words(values.get('kaon_proven')).find((name) => name !== slot);
  if (fallback === undefined) return 'rescue';
  values.set('boot_slot', fallback).set('upgrade_available', '0').set('bootcount', '0');
  save();
  return fallback;
}
