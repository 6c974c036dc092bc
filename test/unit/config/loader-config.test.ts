import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../agent/config/parse-config.ts';

/** The loader of a configuration that says `text` of it. */
function loaderOf(text: string) {
  const node = `formatVersion: 1
node: { compatible: acme }
slots:
  a: { bootName: A, partitions: { root: { device: /dev/a } } }
  b: { bootName: B, partitions: { root: { device: /dev/b } } }
bootloader: ${text}
`;
  return parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text: node }] }).bootloader;
}

const [a, b] = ['AAAAAAAA-0001-4000-8000-00000000000A', 'bbbbbbbb-0002-4000-8000-00000000000b'];
const guids = `partitions: { a: ${a}, b: ${b} }`;

describe('the proof that a loader counts', () => {
  const refuse = '\nupdate: { unprovenLoader: refuse }';

  it('can be wanted of loaders that show it without a trial', () => {
    expect(loaderOf(`{ type: gpt, disk: /dev/sda, ${guids} }${refuse}`).type).toBe('gpt');
    expect(loaderOf(`{ type: grub }${refuse}`).type).toBe('grub');
  });

  it('is not wanted of systemd-boot with images in EFI/Linux, which would never get it', () => {
    const loader = 'type: systemd-boot, esp: { path: /efi }';
    expect(loaderOf(`{ ${loader} }${refuse}`).type).toBe('systemd-boot');
    expect(() => loaderOf(`{ ${loader}, entries: type2 }${refuse}`)).toThrow(
      expect.objectContaining({ message: expect.stringContaining('update.unprovenLoader: it is refuse') as string }),
    );
  });
});

describe('the configuration of a loader without an environment', () => {
  it('has entries of type 1 at systemd-boot, unless images in EFI/Linux are wanted', () => {
    expect(loaderOf('{ type: systemd-boot, esp: { path: /efi } }')).toMatchObject({ entries: 'type1' });
    expect(loaderOf('{ type: systemd-boot, esp: { path: /efi }, entries: type2 }')).toMatchObject({ entries: 'type2' });
    expect(() => loaderOf('{ type: systemd-boot, esp: { path: /efi }, entries: type3 }')).toThrow(
      expect.objectContaining({ message: expect.stringContaining('want type1 (entries in loader/entries)') as string }),
    );
  });

  it('names the disk of a GPT and the partitions with the bits', () => {
    expect(loaderOf(`{ type: gpt, disk: /dev/sda, ${guids} }`)).toEqual({
      type: 'gpt',
      disk: '/dev/sda',
      partitions: { a: a.toLowerCase(), b },
      tries: 4,
    });
  });

  it('names autoboot.txt and the numbers of the boot partitions', () => {
    expect(loaderOf('{ type: tryboot, partitions: { a: 2, b: 3 } }')).toEqual({
      type: 'tryboot',
      file: '/boot/firmware/autoboot.txt',
      partitions: { a: 2, b: 3 },
      tries: 1,
    });
  });

  it('names the boot entries of the firmware', () => {
    expect(loaderOf('{ type: efi, entries: { a: kaon A, b: Boot0004 }, tries: 1 }')).toEqual({
      type: 'efi',
      entries: { a: 'kaon A', b: 'Boot0004' },
      tries: 1,
    });
    const [upper, lower] = [a.toUpperCase(), a.toLowerCase()];
    const loaders = `{ a: { partition: ${upper}, path: /EFI/a.efi }, b: { partition: ${upper}, path: /EFI/kaon/b.efi } }`;
    expect(loaderOf(`{ type: efi, entries: { a: A, b: B }, loaders: ${loaders} }`)).toMatchObject({
      loaders: { a: { partition: lower, path: '/EFI/a.efi' }, b: { partition: lower, path: '/EFI/kaon/b.efi' } },
    });
  });

  it.each([
    ['{ type: lilo }', 'bootloader.type: it is "lilo"; want grub, systemd-boot, uboot, gpt, tryboot or efi'],
    [`{ type: gpt, ${guids} }`, 'bootloader.disk: it is missing; want an absolute path'],
    ['{ type: gpt, disk: /dev/sda }', 'bootloader.partitions: it is missing; want a'],
    [
      `{ type: gpt, disk: /dev/sda, partitions: { a: ${a}, b: sda2 } }`,
      'bootloader.partitions.b: it is "sda2"; want the GUID',
    ],
    [`{ type: gpt, disk: /dev/sda, partitions: { a: ${a}, b: ${a.toLowerCase()} } }`, 'bootloader.partitions.b'],
    [`{ type: gpt, disk: /dev/sda, ${guids}, tries: 16 }`, 'bootloader.tries: it is 16; want 15 or fewer'],
    ['{ type: tryboot, partitions: { a: 2, b: 2 } }', 'want another partition than slot a has'],
    ['{ type: tryboot, partitions: { a: 0, b: 2 } }', 'bootloader.partitions.a: it is 0; want 1 or more'],
    ['{ type: tryboot, partitions: { a: 2, b: 64 } }', 'bootloader.partitions.b: it is 64; want 62 or fewer'],
    ['{ type: tryboot, partitions: { a: 2, b: 3 }, tries: 2 }', 'bootloader.tries: it is 2; want 1'],
    ['{ type: tryboot, partitions: { a: 2, b: 3 }, file: autoboot.txt }', 'bootloader.file'],
    ['{ type: efi }', 'bootloader.entries: it is missing; want a'],
    ['{ type: efi, entries: { a: kaon, b: kaon } }', 'want another boot entry than slot a has'],
    ['{ type: efi, entries: { a: 1, b: kaon } }', 'bootloader.entries.a: it is 1; want text'],
    ['{ type: efi, entries: { a: A, b: B }, disk: /dev/sda }', 'bootloader.disk: this key is not known'],
    [
      `{ type: efi, entries: { a: A, b: B }, loaders: { a: { partition: ${a}, path: /a }, b: { partition: ${a}, path: /a } } }`,
      'want another loader than slot a has',
    ],
    [`{ type: efi, entries: { a: A, b: B }, loaders: { a: { partition: ${a}, path: /a } } }`, 'bootloader.loaders.b'],
    [
      '{ type: efi, entries: { a: A, b: B }, loaders: { a: { partition: x, path: a }, b: {} } }',
      'bootloader.loaders.a.path: it is "a"; want the path of the loader on that partition',
    ],
  ])('refuses %s', (text, problem) => {
    expect(() => loaderOf(text)).toThrow(
      expect.objectContaining({ code: 'config-invalid', message: expect.stringContaining(problem) as string }),
    );
  });
});
