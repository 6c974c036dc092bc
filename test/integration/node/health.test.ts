import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

let bench: NodeBench | undefined;
afterEach(async () => {
  await bench?.close();
}, 60_000);

/** A node that runs with these health checks. */
async function nodeWith(...checks: readonly string[]): Promise<NodeBench> {
  bench = await NodeBench.open();
  const lines = checks.map((check) => `    - ${check.replaceAll('FOLDER', bench?.folder ?? '')}`);
  const health = ['health:', '  deadline: 20s', '  checks:', ...lines, ''].join('\n');
  await bench.node.configure(bench.config([['update:', `${health}update:`]]));
  await bench.powerOn();
  return bench;
}

/** What the events of a kind say. */
async function told(on: NodeBench, kind: string): Promise<readonly string[]> {
  const events = (await on.node.read('/v1/events?limit=100')) as readonly { kind: string; message: string }[];
  return events.filter((event) => event.kind === kind).map(({ message }) => message);
}

/** How the update to a new image, over its reboots, ended. */
async function endOf(on: NodeBench, updateId: string): Promise<string> {
  return until('the end of the update', 60_000, async () => {
    const found = (await on.node.read(`/v1/updates/${updateId}`)) as { outcome?: { result: string } } | undefined;
    return found?.outcome?.result;
  });
}

async function startUpdate(on: NodeBench): Promise<string> {
  const { stdout } = await on.kaonctl('update', on.push().reference, '--detach', '--json');
  return (JSON.parse(stdout) as { updateId: string }).updateId;
}

describe('a node whose health is compared with what it was before', () => {
  it('commits though a check fails that failed before the update, and says so', { timeout: 90_000 }, async () => {
    const node = await nodeWith(
      '{ name: broken, kind: command, command: [/bin/false], baseline: true, interval: 100ms }',
      '{ name: well, kind: command, command: [/bin/true] }',
    );
    expect(await endOf(node, await startUpdate(node))).toBe('committed');
    expect((await told(node, 'baseline-taken'))[0]).toContain('broken before the update: broken');
    expect((await told(node, 'verdict-reached'))[0]).toContain(
      'not counted: broken (it failed before the update, too)',
    );
  });

  it('goes back for a check that passed before', { timeout: 90_000 }, async () => {
    const node = await nodeWith(
      '{ name: quiet, kind: command, command: [/bin/grep, -q, kaon_trial=-, FOLDER/grubenv], baseline: true, retries: 0 }',
    );
    expect(await endOf(node, await startUpdate(node))).toBe('rolled-back');
    expect((await told(node, 'baseline-taken'))[0]).toContain('2 of 2 compared health checks pass');
  });

  it('commits though the registry goes away before the trial', { timeout: 90_000 }, async () => {
    const node = await nodeWith('{ name: registry, kind: registry-reachable, timeout: 300ms, interval: 100ms }');
    await node.kaonctl('stage', node.push().reference);
    await node.kaonctl('activate');
    const id = await until('the armed loader', 60_000, async () => {
      const { current } = (await node.node.read('/v1/status')) as {
        current?: { phase: string; request: { id: string } };
      };
      return current?.phase === 'activated' ? current.request.id : undefined;
    });
    await node.registry.close();
    await node.kaonctl('reboot');
    expect(await endOf(node, id)).toBe('committed');
    expect((await told(node, 'verdict-reached'))[0]).toContain('not counted: registry (');
  });
});
