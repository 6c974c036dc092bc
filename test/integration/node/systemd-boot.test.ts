import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { patternBytes } from '../../fakes/sample-image.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';
import { until } from '../../fakes/simulated-node.ts';
import { type BootEntries, NodeBench, slotBytes } from './node-bench.ts';

let bench: NodeBench;
afterEach(() => bench.close());

interface Status {
  readonly phase: string;
  readonly booted?: string;
  readonly last?: { readonly result: string; readonly updateId: string };
}

const statusNow = async () => (await bench.node.read('/v1/status')) as Status | undefined;

/** A kernel or image of this version, whose bytes tell whether all of it is there. */
function kernelOf(version: string): string {
  return sampleUki({ '.osrel': `ID=edge\nIMAGE_VERSION=${version}\n`, '.linux': version.repeat(40_000) }).toString(
    'latin1',
  );
}

/**
 * Updates the node to an image of `version`, cutting the power once at each of `cuts`, and waits until it is committed;
 * resolves to how many cuts there were. One whose moment nobody saw is left out.
 */
async function updateTo(entries: BootEntries, version: string, seed: number, cuts: readonly (() => boolean)[]) {
  let made = 0;
  const file = join(bench.folder, `kernel-${version}`);
  await writeFile(file, kernelOf(version), 'latin1');
  const role = entries === 'type2' ? '--uki' : '--kernel';
  const { reference } = await bench.pushIndexed(patternBytes(slotBytes, seed), [role, file]);
  const asked = await bench.kaonctl('update', reference, '--detach', '--json');
  expect(asked.exitCode, asked.stderr).toBe(0);
  const { updateId } = JSON.parse(asked.stdout) as { readonly updateId: string };
  const isOver = async () => {
    const status = await statusNow();
    if (status?.phase !== 'idle' || status.last?.updateId !== updateId) return undefined;
    expect(status.last, await bench.node.log()).toMatchObject({ result: 'committed' });
    return true;
  };
  for (const isDue of cuts) {
    const reached = await until('the moment of the cut', 60_000, async () =>
      isDue() ? 'moment' : (await isOver()) && 'end',
    );
    if (reached === 'moment') {
      await bench.node.cutPower();
      made += 1;
    }
    await bench.agentUp();
  }
  await until('the end of the update', 60_000, isOver);
  return made;
}

describe.each(['type1', 'type2'] as const)('a node with systemd-boot (%s)', (entries) => {
  it('comes through updates whose processes end at any of their steps', { timeout: 240_000 }, async () => {
    bench = await NodeBench.open(entries, kernelOf('5'));
    await bench.powerOn();
    const has = (pattern: RegExp) => () => bench.esp.paths.some((path) => pattern.test(path));
    // Back in versions, then forwards, so that each way of putting one image before the other is taken.
    const cuts = await updateTo(entries, '4', 1, [has(/^kaon\/b\//), has(/kaon-b\+4/), has(/kaon-b\+3-1/)]);
    const isBack = () => bench.node.booted === 'a';
    const more = await updateTo(entries, '6', 2, [has(/^kaon\/a\/(?!factory)/), has(/kaon-a\+/), isBack]);
    expect(cuts + more).toBeGreaterThanOrEqual(3);

    const wanted = new Map([
      ['a', ['5', '6']],
      ['b', ['4']],
    ]);
    for (const [index, boot] of bench.node.boots.entries()) {
      const kernels = wanted.get(boot.slice(0, 1))?.map(kernelOf);
      expect(kernels, boot).toContain(bench.startedKernels[index]);
    }
    expect(bench.startedKernels.at(-1)).toBe(kernelOf('6'));
    const first = entries === 'type2' ? 'EFI/Linux/kaon-a.efi' : 'loader/entries/kaon-a.conf';
    expect(bench.esp.paths).toContain(first);
    expect(bench.esp.paths.filter((path) => path.includes('+'))).toEqual([]);
  });
});
