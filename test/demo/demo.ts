import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRegistry } from '../fakes/registry.ts';
import { makeSystem, type SystemFiles } from './demo-images.ts';
import { DemoNode } from './demo-node.ts';
import { Scenario } from './scenario.ts';

/** What every part of the story needs. */
interface Stage {
  readonly scenario: Scenario;
  readonly node: DemoNode;
  readonly folder: string;
  /** `host:port/os/edge` of the embedded registry. */
  readonly repository: string;
  readonly key: (name: string) => string;
}

const print = (text: string) => void process.stdout.write(text);

async function goodUpdate({ scenario, node, folder, repository, key }: Stage): Promise<SystemFiles> {
  scenario.title('a good image: v2 goes to slot b, proves itself, and is committed');
  const system = await makeSystem(folder, 'v2', 'healthy');
  await scenario.publish(system, `${repository}:v2`, key('release'));
  const factory = await scenario.digests('a');
  const plan = await scenario.kaonctl('plan', `${repository}:v2`);
  scenario.check('the plan names nothing in the way', plan.exitCode === 0);
  const update = await scenario.kaonctl('update', `${repository}:v2`);
  const { result } = await scenario.outcome();
  await scenario.kaonctl('status');
  scenario.check('kaonctl update exits 0', update.exitCode === 0);
  scenario.check('the update is committed', result === 'committed');
  scenario.check('slot b is booted', node.node.booted === 'b');
  scenario.check('slot b holds exactly v2, partition by partition, zeros behind it', await scenario.holds('b', system));
  scenario.check('slot a was not touched', (await scenario.digests('a')) === factory);
  const again = await scenario.kaonctl('update', `${repository}:v2`);
  scenario.check('the same image again: already running, exit 0', again.exitCode === 0);
  return system;
}

async function imageThatDies({ scenario, node, folder, repository, key }: Stage, running: SystemFiles): Promise<void> {
  scenario.title('an image that dies before userspace: v3 uses up its tries, and the node comes back by itself');
  const system = await makeSystem(folder, 'v3', 'dies-early');
  await scenario.publish(system, `${repository}:v3`, key('release'));
  const bootsBefore = node.node.boots.length;
  await scenario.kaonctl('update', `${repository}:v3`);
  const { result, code } = await scenario.outcome();
  const rollbacks = await scenario.kaonctl('rollbacks');
  const tries = node.node.boots.slice(bootsBefore).filter((boot) => boot === 'a:v3').length;
  scenario.check('v3 was tried three times by the loader', tries === 3);
  scenario.check('the node runs v2 in slot b again', node.node.booted === 'b' && (await scenario.holds('b', running)));
  scenario.check(
    'the update ended rolled-back: boot-tries-exhausted',
    result === 'rolled-back' && code === 'boot-tries-exhausted',
  );
  scenario.check('the reason is readable from the old slot', rollbacks.stdout.includes('never came up'));
  const again = await scenario.kaonctl('update', `${repository}:v3`);
  scenario.check('v3 is known bad and refused for good, exit 65', again.exitCode === 65);
}

async function imageThatFailsHealth({ scenario, node, folder, repository, key }: Stage): Promise<void> {
  scenario.title('an image whose service does not answer: v4 boots, fails its health check, and is turned back');
  const system = await makeSystem(folder, 'v4', 'unhealthy');
  await scenario.publish(system, `${repository}:v4`, key('release'));
  await scenario.kaonctl('update', `${repository}:v4`);
  const { result, code, message } = await scenario.outcome();
  const rollbacks = await scenario.kaonctl('rollbacks');
  scenario.check('the update ended rolled-back: health-failed', result === 'rolled-back' && code === 'health-failed');
  scenario.check('the node runs slot b again', node.node.booted === 'b');
  scenario.check('the message names the check', message?.includes('service') === true);
  scenario.check('the evidence has what the service said', rollbacks.stdout.includes('503'));
}

async function strangersImage({ scenario, node, folder, repository, key }: Stage): Promise<void> {
  scenario.title('an image that a stranger signed: refused before the first byte is written');
  const system = await makeSystem(folder, 'v5', 'healthy');
  const digest = await scenario.publish(system, `${repository}:v5`, key('stranger'));
  const before = await scenario.digests('a');
  const environment = await readFile(join(folder, 'grubenv'));
  const update = await scenario.kaonctl('update', `${repository}:v5`);
  const after = await readFile(join(folder, 'grubenv'));
  scenario.check(
    'refused as signer-untrusted, exit 65',
    update.exitCode === 65 && update.stderr.includes('signer-untrusted'),
  );
  scenario.check(
    'slot a and the loader are as they were',
    (await scenario.digests('a')) === before && environment.equals(after),
  );
  scenario.title('the same image, now signed by the right key too, asked for by a fleet controller');
  await scenario.kaonctl('image', 'sign', '--key', key('release'), `${repository}:v5`, '--insecure-http');
  const trigger = join(folder, 'trigger.json');
  const image = `${repository}@${digest}`;
  await scenario.kaonctl(
    ...['trigger', 'sign', '--key', key('fleet'), '--image', image, '--action', 'activate', '--sequence', '1'],
    ...['--expires-in', '10m', '--output', trigger],
  );
  await scenario.kaonctl('trigger', 'send', trigger);
  const { result } = await scenario.outcome();
  scenario.check('the trigger led to a commit of v5 in slot a', result === 'committed' && node.node.booted === 'a');
  scenario.check('slot a holds exactly v5', await scenario.holds('a', system));
  const replayed = await scenario.kaonctl('trigger', 'send', trigger);
  scenario.check('the same trigger again is refused as a replay', replayed.stderr.includes('trigger-replayed'));
}

async function play(stage: Stage): Promise<void> {
  const { scenario } = stage;
  const running = await goodUpdate(stage);
  await imageThatDies(stage, running);
  await imageThatFailsHealth(stage);
  await strangersImage(stage);
  scenario.title('the node afterwards');
  await scenario.kaonctl('status');
  await scenario.kaonctl('history');
}

function summarize(scenario: Scenario, seconds: number): boolean {
  const failed = scenario.checks.filter(({ isHeld }) => !isHeld);
  print(
    `\n${scenario.checks.length - failed.length} of ${scenario.checks.length} checks held in ${seconds.toFixed(0)} s\n`,
  );
  for (const { text } of failed) print(`  not true: ${text}\n`);
  return failed.length === 0;
}

async function keep(node: DemoNode, repository: string): Promise<void> {
  const program = fileURLToPath(new URL('../../package/bin/kaonctl.js', import.meta.url));
  print(`\nThe node goes on. Talk to it, and end it with Ctrl-C:
  export KAON_SOCKET=${node.node.socket}
  alias kaonctl='${process.execPath} ${program}'
  kaonctl status
  kaonctl update ${repository}:v2
  kaonctl rollbacks
  curl --unix-socket ${node.node.socket} http://kaon/v1/status
Its files are in ${node.folder}, its log is agent.log there.
`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

async function main(): Promise<number> {
  const isKept = process.argv.includes('--keep');
  const startedAtMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'kaon-demo-'));
  const registry = await startRegistry();
  const node = new DemoNode(folder, (line) => print(`   · ${line}\n`));
  const scenario = new Scenario(node, print);
  const key = (name: string) => join(folder, `${name}.key`);
  try {
    print(`a node of its own in ${folder}: two slots of two partitions each, GRUB's rules, kaond and kaon-slotd\n`);
    for (const name of ['release', 'fleet', 'stranger']) {
      await node.node.kaonctl(['keygen', '--output', join(folder, name)]);
    }
    const factory = await makeSystem(folder, 'v1', 'healthy');
    const keys = { release: join(folder, 'release.pub'), fleet: join(folder, 'fleet.pub') };
    await node.provision(factory, registry.host, keys);
    scenario.title('the factory system v1 in slot a');
    await node.node.powerOn();
    await scenario.agentUp();
    await scenario.kaonctl('status');
    const repository = `${registry.host}/os/edge`;
    await play({ scenario, node, folder, repository, key });
    const isHeld = summarize(scenario, (performance.now() - startedAtMs) / 1000);
    if (isKept) await keep(node, repository);
    return isHeld ? 0 : 1;
  } catch (error) {
    print(`\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    print(await node.node.log());
    return 1;
  } finally {
    await node.powerOff();
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
