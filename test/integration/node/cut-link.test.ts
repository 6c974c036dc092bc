import { createCipheriv } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runCli } from '../../../agent/cli/program.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { UpdateRules } from '../../../agent/core/update-events.ts';
import type { UpdateState } from '../../../agent/core/update-state.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { LocalSlotService } from '../../../agent/slotd/local-slot-service.ts';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { Effects } from '../../../agent/update/effects.ts';
import { DownloadPacer } from '../../../agent/update/download-pacer.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { ImageJudge } from '../../../agent/update/judge-image.ts';
import { UpdateRunner } from '../../../agent/update/runner.ts';
import { start } from '../../../agent/update/start.ts';
import { MeteredLink } from '../../../agent/update/metered-link.ts';
import { Pulse } from '../../../agent/update/pulse.ts';
import { TransferMeter } from '../../../agent/update/transfer-meter.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryBootloader } from '../../fakes/memory-bootloader.ts';
import { MemoryCheckpoints } from '../../fakes/memory-checkpoints.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';
import { MemoryJournal } from '../../fakes/memory-journal.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { RecordingReporter } from '../../fakes/recording-reporter.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { signatureLayer, signatureObject, fillRegistry } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { makeSigner, simpleSigningPayload } from '../../fakes/signer.ts';
import { ManualLink } from '../../fakes/manual-link.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';
import { noEvidence } from '../../fakes/no-evidence.ts';

const imageBytes = 1024 * 1024;
const cutBytes = 45_000;
const rules: UpdateRules = {
  tries: 4,
  attempts: 2,
  retryBaseMs: 1_000,
  retryMaxMs: 10_000,
  trialDeadlineMs: 600_000,
  loaderAttempts: 3,
  loaderRetryBaseMs: 2_000,
  loaderRetryMaxMs: 30_000,
};
const signer = makeSigner('ed25519');
const content = createCipheriv('aes-128-ctr', Buffer.alloc(16, 3), Buffer.alloc(16)).update(Buffer.alloc(imageBytes));

let folder: string;
let registry: EmbeddedRegistry;
let reference: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-cut-link-'));
  registry = await startRegistry();
  reference = `${registry.host}/os/edge:v2`;
  await writeFile(join(folder, 'root.img'), content);
});
afterEach(async () => {
  await registry.close();
  await rm(folder, { recursive: true });
});

async function kaonctl(...argv: readonly string[]): Promise<unknown> {
  const io = new RecordingIo();
  expect(await runCli([...argv, '--json'], io, testDeps())).toBe(0);
  return io.json();
}

/** Pushes the image in frames of 64 KiB, signed; cuts each connection that brings its layer after a few bytes. */
async function publishBehindCuts(): Promise<void> {
  const layout = join(folder, 'layout');
  const names = ['--name', 'edge', '--version', '2', '--compatible', 'board-1', '--frame-size', '64KiB'];
  await kaonctl('image', 'build', ...names, '--partition', `root=${join(folder, 'root.img')}`, '--output', layout);
  const { digest } = (await kaonctl('image', 'push', layout, reference, '--insecure-http')) as { digest: string };
  const payload = simpleSigningPayload(digest);
  const layer = signatureLayer(payload, signer.sign(payload).toString('base64'));
  fillRegistry(registry.content, 'os/edge', [signatureObject(digest, [layer], [payload])]);
  const inspected = await kaonctl('image', 'inspect', reference, '--insecure-http');
  const { layers } = inspected as { readonly layers: readonly { readonly layerDigest: string }[] };
  registry.faults.add({
    request: new RegExp(`^GET .*/blobs/${layers[0]?.layerDigest ?? 'none'}`),
    fault: { kind: 'cut', afterBytes: cutBytes },
  });
}

/** A node whose clock makes no wait last, over the registry's real connections. */
async function stage(): Promise<{ readonly state: UpdateState; readonly reporter: RecordingReporter; slotB: Buffer }> {
  const [clock, random, journal] = [new EagerClock(), new SeededRandom(), new MemoryJournal()];
  const source = new RegistryImageSource({
    registries: { [registry.host]: { insecureHttp: true } },
    credentials: async () => ({ kind: 'none' }),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock,
    random,
    // So few that one run never gets far.
    limits: { ...defaultTransferLimits, layerRetry: { ...defaultTransferLimits.layerRetry, attempts: 4 } },
  });
  const rule = { prefix: `${registry.host}/os`, require: { keys: ['release'], atLeast: 1 }, isDowngradeAllowed: false };
  const policy = new RuleTrustPolicy({
    keys: [parseTrustKey('release', Buffer.from(signer.publicPem))],
    rules: [rule],
  });
  const partitions = { root: { sizeBytes: imageBytes } };
  const devices = new MemorySlotDevices({ slots: { a: partitions, b: partitions }, booted: 'a' });
  const identity = { compatible: 'board-1', agentVersion: '1.0.0' };
  const slots = new LocalSlotService({
    booted: 'a',
    bootloader: new MemoryBootloader(),
    devices,
    writer: new StreamingSlotWriter({ ...writerParts, devices, checkpoints: new MemoryCheckpoints() }),
    policy,
    records: new MemoryWrittenRecords(),
    rebooter: { reboot: async () => undefined },
    identity,
  });
  const facts = new FactsKeeper(new MemoryFacts());
  await facts.load();
  const loader = { name: 'memory', isProofRequired: false };
  const judge = new ImageJudge({ sources: () => source, trust: policy, slots, facts, identity, loader });
  const meter = new TransferMeter();
  const metered = new MeteredLink(new ManualLink(), { rule: 'full', limitBytes: undefined });
  const pacer = new DownloadPacer(undefined, facts, clock);
  const effects = new Effects({
    ...{ judge, slots, facts, clock, meter, metered, pacer, tries: rules.tries, gates: [] },
    health: {
      run: async () => [],
      takeBaseline: async () => [],
      conclude: async () => undefined,
      watch: async () => [],
    },
    watchIntervalMs: 60_000,
    evidence: noEvidence(),
    onProgress: (progress) => runner.reportProgress(progress),
    onCheck: () => undefined,
    onFault: () => undefined,
  });
  const evidence = noEvidence();
  const started = await start({ journal, slots, evidence, clock, rules, bootId: 'boot-1' });
  const ended = new AbortController();
  const onStep = (_before: UpdateState, after: UpdateState) => {
    if (after.phase === 'staged' || after.phase === 'idle') ended.abort();
  };
  const reporter = new RecordingReporter();
  const ports = { journal, effects, rules, clock, reporters: [reporter], meter, pulse: new Pulse(clock), onStep };
  const runner: UpdateRunner = new UpdateRunner(ports, started, []);
  const image = parseReference(reference).repository + ':v2';
  const update = {
    id: 'u-1',
    kind: 'install',
    image,
    from: undefined,
    until: 'staged',
    requestedBy: 'operator',
  } as const;
  await runner.dispatch({ type: 'update-requested', update: { ...update, requestedAtMs: 0 }, atMs: 0 });
  await runner.run(ended.signal);
  source.close();
  return { state: runner.state, reporter, slotB: Buffer.from(devices.disk('b', 'root').durableBytes()) };
}

it(
  'an update over a link that drops again and again finishes, though every attempt fails',
  { timeout: 180_000 },
  async () => {
    await publishBehindCuts();
    const { state, reporter, slotB } = await stage();
    expect(state).toMatchObject({ phase: 'staged' });
    expect(slotB.equals(content)).toBe(true);
    const failures = reporter.kinds.filter((kind) => kind === 'effect-failed').length;
    // Two attempts are all that the rules give to what makes no progress.
    expect(failures).toBeGreaterThan(rules.attempts + 3);
    const written = reporter.events.find(({ kind }) => kind === 'slot-written');
    expect(written).toMatchObject({ details: { moved: { isResumed: true } } });
    const { moved } = written!.details as { readonly moved: { readonly fetchedBytes: number } };
    // What each run fetches again is its first frame, whose first block is held back, and the one that was cut.
    expect(moved.fetchedBytes).toBeLessThan(imageBytes * 3);
  },
);
