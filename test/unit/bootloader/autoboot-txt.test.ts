import { describe, expect, it } from 'vitest';
import { encodeAutoboot, parseAutoboot } from '../../../bootloader/autoboot-txt.ts';
import { BootloaderError } from '../../../bootloader/errors.ts';

/** As the vendor's documentation has it. */
const documented = '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n';
const ours = `${documented}#kaon other=trial 1f2e3d4c\n`;

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'none';
  } catch (error) {
    return error instanceof BootloaderError ? error.code : `not coded: ${String(error)}`;
  }
}

const parse = (text: string) => parseAutoboot(Buffer.from(text, 'latin1'));
const trial = { state: 'trial', armedIn: '1f2e3d4c', hasBegun: false } as const;
const good = { partition: 2, trybootPartition: 3, other: { state: 'good' } } as const;

function encode(before: string, sizeBytes = 512): string {
  return Buffer.from(encodeAutoboot(good, Buffer.from(before, 'latin1'), sizeBytes)).toString('latin1');
}

describe('autoboot.txt', () => {
  it('is read as it is documented', () => {
    expect(parse(documented)).toEqual({ partition: 2, trybootPartition: 3, other: undefined });
    expect(parse('tryboot_a_b=1\r\nboot_partition=2\r\n')).toEqual({
      partition: 2,
      trybootPartition: undefined,
      other: undefined,
    });
    expect(parse(ours).other).toEqual({ state: 'trial', armedIn: '1f2e3d4c', hasBegun: false });
    expect(parse(ours.replace('trial ', 'tried ')).other).toMatchObject({ armedIn: '1f2e3d4c', hasBegun: true });
  });

  it('is written with exactly these bytes, in its size', () => {
    const values = { partition: 2, trybootPartition: 3, other: trial } as const;
    const written = encodeAutoboot(values, Buffer.from(documented), 512);
    expect(Buffer.from(written).toString('latin1')).toBe(ours.padEnd(512, '\n'));
    expect(parseAutoboot(written)).toEqual(values);
    expect(encodeAutoboot(values, written, 512)).toEqual(written);
  });

  it('keeps lines that are not ours, in their order and under their sections', () => {
    const foreign = 'power_off_on_halt=1\n[pi5]\nodd line ÿ\n# a note\n[tryboot]\nuart=1\n[all]\nlast=1';
    const written = encode(`tryboot_a_b=1\nboot_partition=9\n${foreign}`);
    expect(written.trimEnd()).toBe(
      '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n#kaon other=good\n' +
        '[all]\npower_off_on_halt=1\n[pi5]\nodd line ÿ\n# a note\n[tryboot]\nuart=1\n[all]\nlast=1',
    );
    expect(encode(written)).toBe(written);
  });

  it.each([
    ['nothing', ''],
    ['no partition', 'tryboot_a_b=1\n'],
    ['no A/B mode', 'boot_partition=2\n'],
    ['the A/B mode off', 'tryboot_a_b=0\nboot_partition=2\n'],
    ['a partition twice', `${documented}[all]\nboot_partition=3\n`],
    ['a tryboot partition twice', `${documented}boot_partition=3\n`],
    ['a partition for some boards', `${documented}[pi4]\nboot_partition=3\n`],
    ['a partition that is no number', documented.replace('=2', '=two')],
    ['partition 0', documented.replace('=2', '=0')],
    ['a note twice', `${ours}#kaon other=bad\n`],
    ['a note that says nothing', `${documented}#kaon other=fine\n`],
    ['more than a sector', documented.padEnd(513, '\n')],
  ])('is corrupt with %s', (_name, text) => {
    expect(codeOf(() => parse(text))).toBe('boot-env-corrupt');
  });

  it('never gives anything but values or a coded error, however it is truncated or damaged', () => {
    const whole = Buffer.from(ours);
    const seen = new Set<string>();
    for (let length = 0; length < whole.byteLength; length += 1) {
      seen.add(codeOf(() => parseAutoboot(whole.subarray(0, length))));
    }
    for (let bit = 0; bit < whole.byteLength * 8; bit += 1) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      seen.add(codeOf(() => parseAutoboot(damaged)));
    }
    expect([...seen].sort()).toEqual(['boot-env-corrupt', 'none']);
    expect(codeOf(() => parseAutoboot(whole.subarray(0, 36)))).toBe('none');
  });

  it.each([
    ['too short', documented, 60],
    ['longer than the firmware reads', documented, 513],
    ['full of other lines', `${documented}[all]\n${'x'.repeat(430)}`, 512],
  ])('is not written when it is %s', (_name, before, sizeBytes) => {
    expect(codeOf(() => encode(before, sizeBytes))).toBe('boot-env-write-failed');
  });
});
