import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBytes } from '../../fakes/sample-image.ts';
import { buildImage, mustRun } from './built-image.ts';
import { NodeBench, slotBytes } from './node-bench.ts';

let bench: NodeBench;

beforeAll(async () => {
  bench = await NodeBench.open();
}, 60_000);

afterAll(async () => {
  await bench.close();
}, 60_000);

describe('an image that the inactive slot holds already', () => {
  it('costs its manifest and index, and not a byte of its layer', { timeout: 180_000 }, async () => {
    const content = patternBytes(slotBytes - 5_000, 21);
    await writeFile(join(bench.folder, 'slot-b.img'), Buffer.concat([content, Buffer.alloc(5_000, 1)]));
    await writeFile(join(bench.folder, 'content.img'), content);
    await bench.powerOn();
    const kaonctl = (args: readonly string[]) => bench.kaonctl(...args);
    const files = { root: join(bench.folder, 'content.img') };
    const what = { version: '1', compatible: 'board-1', files };
    const image = await buildImage(kaonctl, join(bench.folder, 'layout'), what);
    const reference = `${bench.registry.host}/os/edge:same`;
    await mustRun(kaonctl, 'image', 'push', image.layout, reference, '--insecure-http');
    bench.sign(image.digest, bench.release);
    const before = bench.registry.requests.length;
    await mustRun(kaonctl, 'stage', reference);
    const asked = bench.registry.requests.slice(before).map(({ path }) => path.split('/').at(-1) ?? '');
    const askedOf = (layers: readonly { readonly digest: string }[]) => {
      return asked.filter((name) => layers.some(({ digest }) => digest === name));
    };
    expect(askedOf(image.indexes)).not.toEqual([]);
    expect(askedOf(image.content)).toEqual([]);
    expect((await bench.slot('b')).equals(Buffer.concat([content, Buffer.alloc(5_000)]))).toBe(true);
  });
});
