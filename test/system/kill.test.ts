import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../fakes/simulated-node.ts';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';
import { makeImageByHand, makeKeyByOpenssl, pushBySkopeo, signByOpenssl } from './hand-made-image.ts';
import { LoopNode, type SystemContent } from './loop-node.ts';

let directory = '';
let key = { key: '', pub: '' };
let registry: RealRegistry;
let loop: LoopNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-kill-'));
  key = await makeKeyByOpenssl(directory, 'release');
  registry = await startDockerRegistry(directory, 'registry');
}, 60_000);

afterAll(async () => {
  await registry.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  loop = await LoopNode.open();
  await loop.powerOn(key.pub, { [registry.host]: '' });
}, 60_000);

afterEach(async () => {
  registry.resume();
  await loop.close();
}, 60_000);

async function publish(system: SystemContent): Promise<string> {
  const parts = { version: system.version, compression: 'gzip', partitions: system.files } as const;
  const image = await makeImageByHand(directory, parts);
  await signByOpenssl(image.path, image.digest, key.key);
  const reference = `${registry.host}/os/edge:${system.version}`;
  await pushBySkopeo(image.path, reference);
  return reference;
}

/** What holds the node in a phase until it is let go. */
interface Hold {
  /** The phase to wait for, and how much of the image must be fetched by then. */
  readonly phase: string;
  readonly fetchedBytes?: number;
  readonly until?: 'staged' | 'activated';
  readonly behaviour?: 'unhealthy';
  /** Set up before the update is asked for; returns how to let go. */
  readonly hold: () => Promise<() => Promise<void>>;
  /** What lets the update go on after it was let go. */
  readonly goOn?: readonly string[];
}

/** kaon-slotd can't change the loader while somebody holds its lock; a live process holds it. */
async function holdLoader(): Promise<() => Promise<void>> {
  const lock = join(loop.folder, 'run/environment.lock');
  await until('the lock', 60_000, async () =>
    writeFile(lock, String(process.pid), { flag: 'wx' }).then(
      () => true,
      () => undefined,
    ),
  );
  return () => rm(lock, { force: true });
}

const nothing = async () => async () => undefined;

/** The loader is held once the trial began: its verdict then can't be carried out. */
async function holdTrial(isLoaderHeld: boolean): Promise<() => Promise<void>> {
  let release: () => void = () => undefined;
  loop.serviceGate = new Promise((resolve) => {
    release = resolve;
  });
  if (!isLoaderHeld) return async () => release();
  void until('the trial', 60_000, async () => ((await loop.newest())?.phase === 'trial' ? true : undefined)).then(
    async () => {
      unlock = await holdLoader();
      release();
    },
  );
  let unlock: () => Promise<void> = async () => undefined;
  return async () => unlock();
}

const holds: Readonly<Record<string, Hold>> = {
  preparing: {
    phase: 'preparing',
    hold: async () => {
      registry.pause();
      return async () => registry.resume();
    },
  },
  'writing, while bytes come': { phase: 'writing', fetchedBytes: 1024 * 1024, hold: nothing },
  staged: { phase: 'staged', until: 'staged', hold: nothing, goOn: ['activate', '--reboot'] },
  activating: { phase: 'activating', until: 'staged', hold: nothing },
  activated: { phase: 'activated', until: 'activated', hold: nothing, goOn: ['reboot'] },
  trial: { phase: 'trial', hold: () => holdTrial(false) },
  committing: { phase: 'committing', hold: () => holdTrial(true) },
  'rolling back': { phase: 'rolling-back', behaviour: 'unhealthy', hold: () => holdTrial(true) },
};

async function reach({ phase, fetchedBytes = 0 }: Hold): Promise<void> {
  await until(`phase ${phase}`, 60_000, async () => {
    const status = (await loop.node.read('/v1/status')) as
      | { readonly phase: string; readonly current?: { readonly progress?: { readonly fetchedBytes: number } } }
      | undefined;
    return status?.phase === phase && (status.current?.progress?.fetchedBytes ?? 0) >= fetchedBytes ? true : undefined;
  });
}

/** Starts the update and brings it into the phase; resolves to how to let it go on. */
async function bringInto(hold: Hold, reference: string): Promise<() => Promise<void>> {
  if (hold.phase === 'activating') {
    await loop.node.kaonctl(['stage', reference]);
    const release = await holdLoader();
    await loop.node.kaonctl(['activate', '--reboot']);
    await reach(hold);
    return release;
  }
  const release = await hold.hold();
  await loop.node.kaonctl(['update', reference, '--detach', '--until', hold.until ?? 'committed']);
  await reach(hold);
  return release;
}

describe.each(Object.entries(holds))('killed in %s', (_name, hold) => {
  it.each(['kaond', 'kaon-slotd'] as const)(
    '%s: the update ends as it would have',
    { timeout: 180_000 },
    async (who) => {
      const system = await loop.makeSystem(
        'v2',
        hold.behaviour ?? 'healthy',
        (hold.fetchedBytes === undefined ? 3 : 36) * 1024 * 1024,
      );
      const reference = await publish(system);
      const release = await bringInto(hold, reference);
      if (who === 'kaond') await loop.node.killAgentAlone();
      if (who === 'kaon-slotd') await loop.node.killSlotd();
      await release();
      loop.serviceGate = Promise.resolve();
      if (who !== 'kaon-slotd') await loop.node.restartAgent();
      await loop.agentUp();
      if (hold.goOn !== undefined) expect(await loop.node.kaonctl(hold.goOn)).toMatchObject({ exitCode: 0 });
      const isGood = hold.behaviour === undefined;
      expect(await loop.outcome()).toMatchObject({ result: isGood ? 'committed' : 'rolled-back' });
      expect(loop.node.booted).toBe(isGood ? 'b' : 'a');
      if (isGood) expect(await loop.holds('b', system)).toBe(true);
      expect(await loop.loader()).toMatchObject({ ORDER: isGood ? 'B A' : 'A B', A_OK: '1', kaon_trial: '-' });
    },
  );
});
