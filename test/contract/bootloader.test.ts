import { describe, expect, it } from 'vitest';
import type { Bootloader, SlotName } from '../../bootloader/bootloader.ts';
import { GrubBootloader } from '../../bootloader/grub.ts';
import type { GrubLayout } from '../../bootloader/grub-dialect.ts';
import { encodeEnvironment } from '../../bootloader/grubenv.ts';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { MemoryBootloader } from '../fakes/memory-bootloader.ts';
import { PowerLossFile } from '../fakes/power-loss-file.ts';

interface Node {
  readonly loader: Bootloader;
  readonly boot: () => SlotName | 'rescue';
}

async function grubNode(dialect: 'kaon' | 'rauc'): Promise<Node> {
  const layout: GrubLayout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: dialect === 'kaon' ? 4 : 1 };
  const file = new PowerLossFile(encodeEnvironment([], [['saved_entry', '0']], 1024));
  const loader = new GrubBootloader(file, undefined, layout);
  await loader.repair('a', false);
  const script = { dialect, names: ['A', 'B'], full: 4 } as const;
  return {
    loader,
    boot: () => {
      const { started, block } = bootGrub(script, file.disk);
      file.put(block);
      return started === 'A' ? 'a' : started === 'B' ? 'b' : 'rescue';
    },
  };
}

async function memoryNode(): Promise<Node> {
  const loader = new MemoryBootloader();
  return { loader, boot: () => loader.boot() };
}

describe.each([
  ['GRUB in kaon’s dialect', () => grubNode('kaon'), 4],
  ['GRUB in RAUC’s dialect', () => grubNode('rauc'), 1],
  ['the loader in memory', memoryNode, 4],
] as const)('%s', (_name, makeNode, tries) => {
  it('boots the proven slot again and again while it is renewed', async () => {
    const { loader, boot } = await makeNode();
    for (let index = 0; index < 20; index += 1) {
      expect(boot()).toBe('a');
      expect((await loader.readStatus()).slots.a.state).toBe('unrenewed');
      await loader.markGood('a');
      expect(await loader.readStatus()).toMatchObject({
        primary: 'a',
        slots: { a: { state: 'good' }, b: { state: 'bad' } },
      });
    }
  });

  it('never boots a bad slot', async () => {
    const { loader, boot } = await makeNode();
    await loader.markBad('b');
    for (let index = 0; index < 20; index += 1) expect(boot()).not.toBe('b');
  });

  it('tries an armed slot as often as it was told, and then falls back', async () => {
    const { loader, boot } = await makeNode();
    await loader.activate('b', tries);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: 'b',
      trialTries: tries,
      slots: { a: { state: 'good' }, b: { state: 'trial', triesLeft: tries } },
    });
    for (let index = 0; index < tries; index += 1) expect(boot()).toBe('b');
    expect(boot()).toBe('a');
    expect(await loader.readStatus()).toMatchObject({
      trial: 'b',
      slots: { a: { state: 'unrenewed' }, b: { triesLeft: 0 } },
    });
  });

  it('keeps a slot that was marked good in its trial', async () => {
    const { loader, boot } = await makeNode();
    await loader.activate('b', tries);
    expect(boot()).toBe('b');
    await loader.markGood('b');
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      trialTries: 0,
      slots: { b: { state: 'good' } },
    });
    expect(boot()).toBe('b');
  });

  it('goes back at once when a trial is marked bad', async () => {
    const { loader, boot } = await makeNode();
    await loader.activate('b', tries);
    expect(boot()).toBe('b');
    await loader.markBad('b');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: undefined, slots: { b: { state: 'bad' } } });
    expect(boot()).toBe('a');
  });

  it('resets leftover counters when it arms', async () => {
    const { loader, boot } = await makeNode();
    await loader.activate('b', tries);
    boot();
    await loader.markBad('b');
    boot();
    await loader.markGood('a');
    await loader.activate('b', tries);
    expect((await loader.readStatus()).slots.b).toEqual({ state: 'trial', triesLeft: tries });
  });

  it('refuses what would leave nothing to boot, and changes nothing', async () => {
    const { loader } = await makeNode();
    const before = await loader.readStatus();
    await expect(loader.markBad('a')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    await expect(loader.activate('a', tries)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    expect(await loader.readStatus()).toEqual(before);
  });

  it('arms only beside a slot whose markers are renewed', async () => {
    const { loader, boot } = await makeNode();
    boot();
    await expect(loader.activate('b', tries)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
  });

  it.each([0, -1, 1.5, 10])('refuses %d tries', async (count) => {
    const { loader } = await makeNode();
    await expect(loader.activate('b', count)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });

  it('does not mind any verb twice', async () => {
    const { loader } = await makeNode();
    for (const verb of [
      () => loader.markBad('b'),
      () => loader.activate('b', tries),
      () => loader.markGood('b'),
      () => loader.markGood('a'),
    ]) {
      await verb();
      const once = await loader.readStatus();
      await verb();
      expect(await loader.readStatus()).toEqual(once);
    }
  });

  it('repairs nothing that is sound', async () => {
    const { loader } = await makeNode();
    await loader.activate('b', tries);
    const before = await loader.readStatus();
    expect(await loader.repair('a', false)).toBe(false);
    expect(await loader.readStatus()).toEqual(before);
  });
});
