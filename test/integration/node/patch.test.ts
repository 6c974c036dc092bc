import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PlanView } from '../../../agent/core/control.ts';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { patternBytes } from '../../fakes/sample-image.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

let bench: NodeBench;
beforeEach(async () => {
  bench = await NodeBench.open();
  for (const slot of ['a', 'b'] as const) await bench.resizeSlot(slot, slotBytes);
  await writeFile(join(bench.folder, 'release.key'), bench.release.privatePem);
});
afterEach(() => bench.close());

async function kaonctl<T>(...args: readonly string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await bench.kaonctl(...args, '--json');
  expect({ args, exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ args, exitCode: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

/** Builds, pushes and signs an image of `content`. */
async function publish(version: string, content: Uint8Array): Promise<string> {
  const file = join(bench.folder, `${version}.img`);
  const layout = join(bench.folder, version);
  const reference = `${bench.registry.host}/os/edge:${version}`;
  await writeFile(file, content);
  const named = ['--name', 'edge', '--version', version, '--compatible', 'board-1', '--partition', `root=${file}`];
  await kaonctl('image', 'build', ...named, '--frame-size', '16KiB', '--level', '3', '--output', layout);
  await kaonctl('image', 'push', layout, reference, '--insecure-http');
  await kaonctl('image', 'sign', '--key', join(bench.folder, 'release.key'), reference, '--insecure-http');
  return reference;
}

/** More than the manifests, signatures in both forms and lists of an image and its patch, asked for twice in an update. */
const listBytes = 16_384;

const slotBytes = 2 * 1024 * 1024;
const before = patternBytes(1024 * 1024, 5);
const after = Buffer.from(before);
// In each of the last blocks a byte: all of them are other blocks, and hardly any other content.
for (let at = 700 * 1024; at < after.byteLength; at += 2048) after[at] = (after[at] ?? 0) ^ 0x55;

/** Stages `reference` onto the free slot. Resolves to the bytes that the registry sent for it. */
async function stage(reference: string): Promise<number> {
  const sentBefore = bench.registry.sentBytes;
  await kaonctl('stage', reference);
  expect((await bench.slot('b')).subarray(0, after.byteLength).equals(after)).toBe(true);
  return bench.registry.sentBytes - sentBefore;
}

/** Takes the staged update back, and puts other bytes where it was. */
async function takeBack(): Promise<void> {
  await kaonctl('cancel');
  await until('the end of the update', 60_000, async () => {
    const status = (await bench.node.read('/v1/status')) as { readonly phase: string } | undefined;
    return status?.phase === 'idle' ? true : undefined;
  });
  await writeFile(join(bench.folder, 'slot-b.img'), patternBytes(slotBytes, 91));
}

/** A node whose slot a holds `before` as its own update wrote it, whatever it ran first. */
async function runningBefore(): Promise<string> {
  const [first, older] = [await publish('v0', patternBytes(150_000, 4)), await publish('v1', before)];
  await bench.powerOn();
  for (const reference of [first, older]) {
    await kaonctl('update', reference);
    await until('the commit', 60_000, async () => {
      const status = (await bench.node.read('/v1/status')) as { readonly phase: string } | undefined;
      return status?.phase === 'idle' ? true : undefined;
    });
  }
  expect((await bench.slot('a')).subarray(0, before.byteLength).equals(before)).toBe(true);
  await writeFile(join(bench.folder, 'slot-b.img'), patternBytes(slotBytes, 92));
  return older;
}

it('an update with a patch beside it fetches a part of what it fetches by the index', { timeout: 90_000 }, async () => {
  const older = await runningBefore();
  const newer = await publish('v2', after);
  const byIndex = await stage(newer);
  await takeBack();
  const key = join(bench.folder, 'release.key');
  const made = await kaonctl<{ digest: string; partitions: readonly object[] }>(
    ...['image', 'patch', older, newer, '--key', key, '--insecure-http'],
  );
  expect(made.partitions).toHaveLength(1);
  const plan = await kaonctl<PlanView>('plan', newer);
  const { ways } = plan.partitions[0] ?? {};
  expect(ways).toMatchObject({ way: 'patch', fullBytes: plan.downloadBytes });
  expect(ways?.patchBytes).toBeLessThan((ways?.indexBytes ?? 0) / 2);
  expect(plan.warnings.join()).not.toContain('not counted');
  const byPatch = await stage(newer);
  // Manifests, signatures and lists aside.
  expect(byPatch).toBeLessThan((ways?.patchBytes ?? 0) + listBytes);
  expect(byPatch).toBeLessThan(byIndex / 2);
  await takeBack();

  // A patch whose bytes are damaged, or that is listed and not there, costs nothing but bytes: its own, and what lists it.
  const list = bench.registry.content.manifest('os/edge', made.digest);
  const [layer] = (JSON.parse(list?.bytes.toString() ?? '{}') as { layers: { digest: string; mediaType: string }[] })
    .layers;
  expect(layer?.mediaType).toBe(mediaTypes.kaonPatch);
  const bytes = bench.registry.content.blob('os/edge', layer?.digest ?? '') ?? Buffer.alloc(0);
  const damaged = Buffer.from(bytes);
  damaged.fill(7, damaged.byteLength - 200);
  bench.registry.content.putBlob('os/edge', damaged, layer?.digest);
  expect(await stage(newer)).toBeLessThan(byIndex + bytes.byteLength + listBytes);
  await takeBack();
  bench.registry.content.removeBlob('os/edge', layer?.digest ?? '');
  expect(await stage(newer)).toBeLessThan(byIndex + listBytes);
});
