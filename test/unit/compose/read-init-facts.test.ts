import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInitFacts } from '../../../agent/compose/read-init-facts.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'kaon-init-facts-'));
});
afterAll(() => rm(root, { recursive: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

function udev(number: number, label: string): string {
  return [
    `E:ID_PART_ENTRY_NAME=${label}`,
    `E:ID_PART_ENTRY_UUID=AAAAAAAA-0000-4000-8000-00000000000${number}`,
    'E:ID_PART_ENTRY_TYPE=0fc63daf-8483-4772-8e79-3d69d8477de4',
    `E:ID_PART_ENTRY_NUMBER=${number}`,
    'E:ID_PART_ENTRY_SIZE=2048',
    'E:ID_PART_ENTRY_DISK=8:0',
    '',
  ].join('\n');
}

describe('what a node shows that nobody set up', () => {
  it('is nothing where there is nothing', async () => {
    expect(await readInitFacts([], join(root, 'empty'))).toEqual({
      partitions: [],
      rootDevices: new Set(),
      stateDevice: undefined,
      loaders: [],
      machine: undefined,
      registries: [],
      keys: [],
    });
  });

  it('is read from udev, mounts, firmware, credentials and keys', async () => {
    for (const [number, label] of [
      [2, 'root\\x20a'],
      [3, 'root\\x20b'],
    ] as const) {
      await put(`run/udev/data/b8:${number}`, udev(number, label));
      await put(`sys/dev/block/8:${number}/uevent`, `MAJOR=8\nDEVNAME=sda${number}\n`);
    }
    await put('run/udev/data/b8:0', 'E:DEVTYPE=disk\n');
    // The root is verity over the second partition.
    await put(
      'proc/self/mountinfo',
      '1 0 254:0 / / ro - squashfs /dev/dm-0 ro\n2 1 8:4 / /var rw - ext4 /dev/sda4 rw\n',
    );
    await put('sys/dev/block/254:0/slaves/sda3/dev', '8:3\n');
    await put('sys/class/dmi/id/product_name', 'Gateway 2\n');
    const auths = { 'https://registry.acme.io/v2/': { auth: 'c2VjcmV0' }, 'bad host': {} };
    await put('etc/kaon/auth.json', JSON.stringify({ auths }));
    await put('etc/kaon/keys/release-1.pub', '');
    await put('etc/kaon/keys/README', '');
    const facts = await readInitFacts([], root);
    expect(facts).toMatchObject({
      partitions: [
        { device: '/dev/sda2', number: 2, label: 'root a', sizeBytes: 1024 * 1024, disk: '8:0' },
        { device: '/dev/sda3', partUuid: 'aaaaaaaa-0000-4000-8000-000000000003' },
      ],
      rootDevices: new Set(['254:0', '8:3']),
      stateDevice: '8:4',
      machine: { text: 'Gateway 2' },
      registries: [{ host: 'registry.acme.io', authFile: '/etc/kaon/auth.json' }],
      keys: ['/etc/kaon/keys/release-1.pub'],
    });
    expect(JSON.stringify(facts)).not.toContain('c2VjcmV0');
  });
});
