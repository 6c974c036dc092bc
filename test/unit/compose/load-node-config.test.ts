import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadNodeConfig } from '../../../agent/compose/load-node-config.ts';

let directory: string;
let copies: string;
let mainFile: string;
let problems: unknown[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-node-config-'));
  copies = join(directory, 'state');
  mainFile = join(directory, 'kaon.yaml');
  problems = [];
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const main = (compatible: string) => `
formatVersion: 1
node: {compatible: ${compatible}}
slots:
  a: {bootName: A, partitions: {root: {device: /dev/a}}}
  b: {bootName: B, partitions: {root: {device: /dev/b}}}
bootloader: {type: grub}
`;

const load = (agentVersion = '1.0.0', imageFile?: string) =>
  loadNodeConfig({ mainFile, imageFile }, copies, agentVersion, (error) => problems.push(error));

describe("a node's configuration", () => {
  it('is that of its files, with no fault', async () => {
    writeFileSync(mainFile, main('acme'));
    expect(await load()).toMatchObject({ config: { node: { compatible: 'acme' } }, fault: undefined });
    expect(problems).toEqual([]);
  });

  it('is that of the last time once its files are broken, and the fault says why', async () => {
    const imageFile = join(directory, 'image.yaml');
    writeFileSync(imageFile, 'node: {labels: {from: image}}');
    mkdirSync(join(directory, 'conf.d'));
    writeFileSync(join(directory, 'conf.d', '10-site.yaml'), 'node: {labels: {site: oslo}}');
    writeFileSync(mainFile, main('acme'));
    const { config } = await load('1.0.0', imageFile);
    writeFileSync(mainFile, main('acme').replace('slots:', 'slot:'));
    expect(await load('1.0.0', imageFile)).toEqual({
      config,
      fault: { code: 'config-invalid', message: expect.stringContaining('slot: this key is not known') as string },
    });
    expect(config?.node.labels).toEqual({ from: 'image', site: 'oslo' });
  });

  it('is that of the last time once its files are gone', async () => {
    writeFileSync(mainFile, main('acme'));
    await load();
    rmSync(mainFile);
    expect(await load()).toMatchObject({
      config: { node: { compatible: 'acme' } },
      fault: { code: 'config-invalid', message: expect.stringContaining(mainFile) as string },
    });
  });

  it('is kept by each version of the agent, and another version falls back to it', async () => {
    writeFileSync(mainFile, main('acme'));
    await load('1.0.0');
    writeFileSync(mainFile, main('acme-2'));
    await load('2.0.0');
    writeFileSync(mainFile, 'damaged: [');
    expect(await load('1.0.0')).toMatchObject({ config: { node: { compatible: 'acme' } } });
    expect(await load('2.0.0')).toMatchObject({ config: { node: { compatible: 'acme-2' } } });
    expect(await load('3.0.0')).toMatchObject({ config: { node: { compatible: expect.any(String) as string } } });
  });

  it('never replaces a good copy by a broken one', async () => {
    writeFileSync(mainFile, main('acme'));
    await load();
    writeFileSync(mainFile, 'formatVersion: 2');
    await load();
    expect(await load()).toMatchObject({ config: { node: { compatible: 'acme' } } });
  });

  it('is missing where there is neither file nor copy, and the fault stays', async () => {
    expect(await load()).toMatchObject({ config: undefined, fault: { code: 'config-invalid' } });
    writeFileSync(mainFile, 'formatVersion: 2');
    expect(await load()).toMatchObject({ config: undefined, fault: { code: 'config-invalid' } });
    expect(readdirSync(directory)).toEqual(['kaon.yaml']);
  });

  it('can be used where no copy can be kept, which is told', async () => {
    writeFileSync(mainFile, main('acme'));
    writeFileSync(copies, 'a file in the place of the directory');
    expect(await load()).toMatchObject({ config: { node: { compatible: 'acme' } }, fault: undefined });
    expect(problems).toEqual([expect.objectContaining({ code: 'EEXIST' })]);
  });
});
