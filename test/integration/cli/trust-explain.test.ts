import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../agent/cli/program.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload } from '../../fakes/signer.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';

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

/** A node's configuration; `trust` and `more` stand at the end of their maps. */
async function configure(trust = '', more = ''): Promise<void> {
  const slot = (name: string) => `{ bootName: ${name}, partitions: { root: { device: /dev/${name} } } }`;
  await writeFile(
    at('kaon.yaml'),
    `formatVersion: 1
node: { compatible: board-1 }
stateDir: ${folder}
slots: { a: ${slot('A')}, b: ${slot('B')} }
bootloader: { type: grub, environment: ${at('grubenv')} }
trust:
  keys: { release: { file: ${at('release.pub')}, notAfter: 2099-01-01T00:00:00Z } }
  rules: [{ prefix: "${registry.host}/os", require: { keys: [release] } }]
  ${trust}
registries: { "${registry.host}": { insecureHttp: true } }
${more}
`,
  );
}

async function explain(...options: readonly string[]) {
  const io = new RecordingIo();
  const args = ['trust', 'explain', `${registry.host}/os/edge:v1`, '--config', at('kaon.yaml'), ...options];
  const exitCode = await runCli(args, io, testDeps());
  return { exitCode, stdout: io.stdout, stderr: io.stderr };
}

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
    expect(stdout).toMatch(/^no signature beside it can be read$/m);
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
