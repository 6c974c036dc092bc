import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeInspector, parseUnitViews } from '../../../agent/compose/inspect-node.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-inspect-'));
});
afterAll(() => rm(directory, { recursive: true }));

const never = new AbortController().signal;
const shown = 'Id=kaond.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nResult=success\n';

function inspect(configFile: string, image?: string) {
  const commands = {
    run: async (argv: readonly string[]) => {
      if (argv[0] === 'timedatectl') return { exitCode: 0, output: 'yes' };
      return { exitCode: 0, output: argv.includes('--value') ? '30s\n' : shown };
    },
  };
  const ports = { commands, clock: new EagerClock(10_000), random: new SeededRandom() };
  return nodeInspector({ ...ports, imageConfigFile: join(directory, 'none.yaml') })({ configFile, image }, never);
}

async function configFile(keyFile: string): Promise<string> {
  const path = join(directory, 'kaon.yaml');
  await writeFile(
    path,
    `formatVersion: 1
node: { compatible: acme }
stateDir: ${directory}
slots:
  a: { bootName: A, partitions: { root: { device: /dev/a } } }
  b: { bootName: B, partitions: { root: { device: /dev/b } } }
bootloader: { type: grub }
trust: { keys: { release-1: { file: ${keyFile} } } }
registries: { "127.0.0.1:1": { insecureHttp: true } }
`,
  );
  return path;
}

describe('looking at the node', () => {
  it('reads configuration, units, watchdog, clock and room', async () => {
    const found = await inspect(await configFile(join(directory, 'none.pub')));
    expect(found).toMatchObject({
      config: { stateDir: directory },
      fileFaults: [{ code: 'key-invalid', isDenied: false }],
      units: [{ name: 'kaond.service', activeState: 'active', fileState: 'enabled' }],
      runtimeWatchdog: '30s',
      timeSynchronised: true,
      registry: undefined,
    });
    expect(found.stateDir?.availableBytes).toBeGreaterThan(0);
  });

  it('says why the configuration cannot be used', async () => {
    expect((await inspect(join(directory, 'no-such.yaml'))).config).toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('it does not exist') as string,
      isDenied: false,
    });
  });

  it('asks the registry of the image that runs', async () => {
    const { registry } = await inspect(await configFile(join(directory, 'none.pub')), '127.0.0.1:1/os/edge:v1');
    expect(registry).toMatchObject({ kind: 'silent', text: expect.stringContaining('ECONNREFUSED') as string });
  });
});

describe('the units that systemd shows', () => {
  it('are one a block, and nothing where it says nothing', () => {
    const second = 'Id=kaon-slotd.socket\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nResult=success\n';
    expect(
      parseUnitViews(`${shown}\n${second}`).map(({ name, loadState, fileState }) => [name, loadState, fileState]),
    ).toEqual([
      ['kaond.service', 'loaded', 'enabled'],
      ['kaon-slotd.socket', 'not-found', ''],
    ]);
    expect(parseUnitViews('')).toEqual([]);
  });
});
