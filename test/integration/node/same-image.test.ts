import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBytes } from '../../fakes/sample-image.ts';
import { buildImage } from './built-image.ts';
import { NodeBench, slotBytes } from './node-bench.ts';

let bench: NodeBench;

beforeAll(async () => {
  bench = await NodeBench.open();
}, 60_000);

afterAll(async () => {
  await bench.close();
}, 60_000);

describe('an image that the inactive slot holds already', () => {
  it('costs its manifest and index, and not a byte of its layer', { timeout: 60_000 }, async () => {
    const content = patternBytes(slotBytes - 5_000, 21);
    await writeFile(join(bench.folder, 'slot-b.img'), Buffer.concat([content, Buffer.alloc(5_000, 1)]));
    await bench.powerOn();
    const image = await buildImage(bench, 'same', content);
    const before = bench.registry.requests.length;
    expect(await bench.kaonctl('stage', image.reference)).toMatchObject({ exitCode: 0 });
    const asked = bench.registry.requests.slice(before).map(({ method, path }) => `${method} ${path}`);
    expect(asked.some((path) => path.includes(image.indexDigest))).toBe(true);
    expect(asked.filter((path) => path.includes(image.layerDigest))).toEqual([]);
    expect((await bench.slot('b')).equals(Buffer.concat([content, Buffer.alloc(5_000)]))).toBe(true);
  });
});
