import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig, readKeyFile } from '../../../agent/config/load-config.ts';

let directory: string;
let mainFile: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-config-'));
  mainFile = join(directory, 'kaon.yaml');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const main = `
formatVersion: 1
node: {compatible: acme}
slots:
  a: {bootName: A, partitions: {root: {device: /dev/a}}}
  b: {bootName: B, partitions: {root: {device: /dev/b}}}
bootloader: {type: grub}
`;

const load = (imageFile?: string) => loadConfig({ mainFile, imageFile });

describe('loading the configuration', () => {
  it('reads the image, the main file and the drop-ins in the order of their names', async () => {
    const imageFile = join(directory, 'image.yaml');
    writeFileSync(imageFile, 'node: {labels: {from: image, image: yes}}');
    writeFileSync(mainFile, main);
    mkdirSync(join(directory, 'conf.d'));
    writeFileSync(join(directory, 'conf.d', '20-b.yaml'), 'node: {labels: {from: b}}');
    writeFileSync(join(directory, 'conf.d', '10-a.yaml'), 'node: {labels: {from: a, a: yes}}');
    writeFileSync(join(directory, 'conf.d', 'README'), 'not yaml: [');
    await expect(load(imageFile)).resolves.toMatchObject({
      node: { labels: { from: 'b', a: 'yes', image: 'yes' } },
    });
  });

  it('needs no image file and no drop-ins', async () => {
    writeFileSync(mainFile, main);
    await expect(load(join(directory, 'none.yaml'))).resolves.toMatchObject({ node: { compatible: 'acme' } });
  });

  it.each([
    ['missing', () => undefined, /it does not exist; write it/],
    ['a directory', () => mkdirSync(mainFile), /EISDIR/],
    ['too large', () => writeFileSync(mainFile, '#'.repeat(300_000)), /more than 262144 bytes/],
    ['not UTF-8', () => writeFileSync(mainFile, Buffer.from([0xff, 0xfe])), /cannot read/],
  ])('is config-invalid when the file is %s', async (_name, make, message) => {
    make();
    await expect(load()).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('reading a key file', () => {
  it('gives its bytes', async () => {
    writeFileSync(join(directory, 'key.pub'), 'PEM');
    expect(Buffer.from(await readKeyFile(join(directory, 'key.pub'))).toString()).toBe('PEM');
  });

  it('is key-invalid where the file is missing or too large', async () => {
    const path = join(directory, 'key.pub');
    await expect(readKeyFile(path)).rejects.toMatchObject({
      code: 'key-invalid',
      message: `cannot read the key ${path}: it does not exist`,
    });
    writeFileSync(path, 'x'.repeat(20_000));
    await expect(readKeyFile(path)).rejects.toMatchObject({ code: 'key-invalid' });
  });
});
