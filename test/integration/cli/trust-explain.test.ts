import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServer, type Server } from 'node:http';
import { runCli } from '../../../agent/cli/program.ts';
import type { StatusView } from '../../../agent/core/control.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload } from '../../fakes/signer.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';
import { statusAnswer } from '../../unit/cli/samples.ts';

const release = makeSigner('ed25519');
const image = sampleImage(['v1']);
const { digest } = image.manifest;
const payload = simpleSigningPayload(digest);
const good = signatureLayer(payload, release.sign(payload).toString('base64'));
const unsigned = signatureLayer(payload, undefined);

let folder = '';
let registry: EmbeddedRegistry;
const at = (name: string) => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-explain-'));
  registry = await startRegistry();
  await writeFile(at('release.pub'), release.publicPem);
});
afterEach(async () => {
  await registry.close();
  await rm(folder, { recursive: true });
});

/** A node's configuration with a key that ends in 2099; `more` stands at the end of its trust policy. */
async function configure(more = ''): Promise<void> {
  await configureTrust(
    `keys: { release: { file: ${at('release.pub')}, notAfter: 2099-01-01T00:00:00Z } }`,
    `rules: [{ prefix: "${registry.host}/os", require: { keys: [release] } }]`,
    more,
  );
}

async function configureTrust(...lines: readonly string[]): Promise<void> {
  const slot = (name: string) => `{ bootName: ${name}, partitions: { root: { device: /dev/${name} } } }`;
  await writeFile(
    at('kaon.yaml'),
    `formatVersion: 1
node: { compatible: board-1 }
stateDir: ${folder}
slots: { a: ${slot('A')}, b: ${slot('B')} }
bootloader: { type: grub, environment: ${at('grubenv')} }
trust:
  ${lines.join('\n  ')}
registriesConf: null
registries: { "${registry.host}": { insecureHttp: true } }
`,
  );
}

/** Runs `trust explain`, by a kaonctl that was built at `builtAtMs`. */
async function explainAt(builtAtMs: number | undefined, ...options: readonly string[]) {
  const io = new RecordingIo({ environment: { KAON_SOCKET: at('kaon.sock') } });
  const args = ['trust', 'explain', `${registry.host}/os/edge:v1`, '--config', at('kaon.yaml'), ...options];
  const exitCode = await runCli(args, io, { ...testDeps(), builtAtMs });
  return { exitCode, stdout: io.stdout, stderr: io.stderr };
}

const explain = (...options: readonly string[]) => explainAt(undefined, ...options);

/** The image with these layers in cosign's object beside it. */
function fill(...layers: readonly object[]): void {
  fillRegistry(registry.content, 'os/edge', [image, signatureObject(digest, layers, [payload])]);
}

describe('what lies beside an image and cannot be read', () => {
  it('is listed with its reason beside the signatures that can', async () => {
    await configure();
    fill(unsigned, good);
    const { exitCode, stdout } = await explain();
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^NOT READ +WHY$/m);
    expect(stdout).toMatch(/^manifest-invalid +cannot .*signature 1 at .*annotations: /m);
    expect(stdout).toMatch(/^trusted: signed with release$/m);
    expect(JSON.parse((await explain('--json')).stdout)).toMatchObject({
      problems: [{ code: 'manifest-invalid', message: expect.stringContaining('signature 1 at') as string }],
    });
  });

  it('is listed where there is nothing else, and the image is refused as a node would', async () => {
    await configure();
    fill(unsigned);
    const { exitCode, stdout, stderr } = await explain();
    expect(exitCode).toBe(65);
    expect(stdout).toMatch(/^no signature that can be read is beside it$/m);
    expect(stdout).toMatch(/^manifest-invalid +cannot /m);
    expect(stdout).toMatch(/^not trusted: signature-invalid: /m);
    expect(stderr).toContain('code: signature-invalid');
    expect(JSON.parse((await explain('--json')).stdout)).toMatchObject({
      error: { code: 'signature-invalid', details: { problems: [{ code: 'manifest-invalid' }] } },
    });
  });

  it('is nothing where all can be read', async () => {
    await configure();
    fill(good);
    expect((await explain()).stdout).not.toContain('NOT READ');
    expect(JSON.parse((await explain('--json')).stdout)).toMatchObject({ problems: [] });
  });
});

describe('a configuration that lists repositories', () => {
  it('refuses an image of another one, as a node does', async () => {
    await configure(`repositories: ["${registry.host}/lab"]`);
    fill(good);
    const { exitCode, stdout, stderr } = await explain();
    expect(exitCode).toBe(65);
    expect(stdout).toMatch(/^not trusted: repository-refused: /m);
    expect(stderr).toContain('code: repository-refused');
  });
});

describe('what kaonctl knows of the node beside its files', () => {
  const [built, signed] = [Date.UTC(2101, 0, 1), Date.UTC(2102, 0, 1)];
  let kaond: Server | undefined;

  afterEach(async () => {
    await new Promise((resolve) => (kaond === undefined ? resolve(undefined) : kaond.close(resolve)));
    kaond = undefined;
  });

  /** A kaond whose status says this of trust. */
  async function answer(trust: StatusView['trust']): Promise<void> {
    const body = JSON.stringify(statusAnswer({ trust }));
    kaond = createServer((_request, response) => response.setHeader('content-type', 'application/json').end(body));
    await new Promise<void>((resolve) => kaond?.listen(at('kaon.sock'), resolve));
  }

  it('is the clock, and that kaond does not answer', async () => {
    await configure();
    fill(good);
    const { exitCode, stdout } = await explain();
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^time: +\d{4}-.* \(by the clock\)$/m);
    expect(stdout).toMatch(/^not before: +what kaond verified is not known \(daemon-unreachable\)$/m);
    expect(JSON.parse((await explain('--json')).stdout)).toMatchObject({
      explanation: { judgedAt: { source: 'clock' } },
      floors: { unknown: { code: 'daemon-unreachable' } },
    });
  });

  it('is when it was built, where the clock is behind that', async () => {
    await configure();
    fill(good);
    const { exitCode, stdout } = await explainAt(built);
    // The key ended in 2099.
    expect(exitCode).toBe(65);
    expect(stdout).toMatch(/^time: +2101-01-01T00:00:00\.000Z \(the build of kaon, as the clock is behind it\)$/m);
    expect(stdout).toMatch(/^not before: +2101-01-01T00:00:00\.000Z, when kaon was built; what kaond verified/m);
  });

  it('is the latest signature that kaond verified, where it answers', async () => {
    await configure();
    fill(good);
    await answer({ signedAtMs: signed });
    expect(JSON.parse((await explainAt(built, '--json')).stdout)).toMatchObject({
      error: {
        details: {
          explanation: { judgedAt: { at: '2102-01-01T00:00:00.000Z', source: 'signed-time' } },
          floors: { builtAt: '2101-01-01T00:00:00.000Z', signedAt: '2102-01-01T00:00:00.000Z' },
        },
      },
    });
  });

  it('is the repository that the node follows, whose rule the image has to fulfil, too', async () => {
    await writeFile(at('other.pub'), makeSigner('ed25519').publicPem);
    const rules = (more: string) => [
      `keys: { release: { file: ${at('release.pub')} }, other: { file: ${at('other.pub')} } }`,
      `rules: [{ prefix: "${registry.host}/os", require: { keys: [release] } }, { prefix: strict.test, require: { keys: [other] } }]`,
      more,
    ];
    await configureTrust(...rules(''));
    fill(good);
    await answer({ followed: 'strict.test/os' });
    const { exitCode, stdout } = await explain();
    expect(exitCode).toBe(65);
    expect(stdout).toMatch(/^follows: +strict\.test\/os$/m);
    expect(stdout).toMatch(/^not trusted: repository-refused: /m);
    await configureTrust(...rules(`repositories: ["${registry.host}"]`));
    expect((await explain()).exitCode).toBe(0);
  });
});
