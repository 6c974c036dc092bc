import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

const golden = fileURLToPath(new URL('../../golden/', import.meta.url));

let bench: NodeBench;
beforeEach(async () => {
  bench = await NodeBench.open();
});
afterEach(async () => {
  await bench.close();
});

describe('an agent that an older one updated the node to', () => {
  it.each(['first', 'current'])(
    'commits the trial by the state of the %s format, and keeps its history',
    { timeout: 180_000 },
    async (name) => {
      await cp(join(golden, name), bench.folder, { recursive: true });
      // The keys of that node are gone: with this file the image would be held against the keys of this one.
      await rm(join(bench.folder, 'state/signed-b.json'), { force: true });
      const health = 'health: { registryReachable: false }\n';
      await bench.node.configure(
        bench.config([
          ['tries: 4', 'tries: 1'],
          ['update:', `${health}update:`],
        ]),
      );
      await bench.powerOn();
      const { degraded, slots } = await until('the commit', 60_000, async () => {
        const status = (await bench.node.read('/v1/status')) as Status | undefined;
        return status?.booted === 'b' && status.phase === 'idle' ? status : undefined;
      });
      expect(degraded).toEqual([]);
      expect(slots).toMatchObject([{ name: 'a' }, { name: 'b', state: 'good', deployment: { version: 'v2' } }]);
      const updates = (await bench.node.read('/v1/updates')) as readonly { readonly outcome: { result: string } }[];
      expect(updates.map(({ outcome }) => outcome.result)).toEqual(['committed', 'rolled-back']);
      const [bad] = (await bench.node.read('/v1/known-bad')) as readonly { readonly digest: string }[];
      const [lost] = (await bench.node.read('/v1/rollbacks')) as readonly { readonly digest: string }[];
      expect(bad?.digest).toMatch(/^sha256:40a9cdca/);
      expect(lost?.digest).toBe(bad?.digest);
      expect(bench.node.boots).toHaveLength(1);
    },
  );
});

interface Status {
  readonly booted?: string;
  readonly phase: string;
  readonly degraded: readonly unknown[];
  readonly slots: readonly unknown[];
}
