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
const signature = signatureObject(
  digest,
  [signatureLayer(payload, release.sign(payload).toString('base64'))],
  [payload],
);

let folder = '';
let origin: EmbeddedRegistry;
let mirror: EmbeddedRegistry;
const at = (name: string) => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-mirrored-'));
  const auth = { kind: 'basic', username: 'node', password: 'of-the-mirror' } as const;
  [origin, mirror] = [await startRegistry(), await startRegistry({ auth })];
  fillRegistry(origin.content, 'os/edge', [image, signature]);
  fillRegistry(mirror.content, 'copies/os/edge', [image, signature]);
  await writeFile(at('release.pub'), release.publicPem);
  const token = Buffer.from('node:of-the-mirror').toString('base64');
  await writeFile(at('auth.json'), JSON.stringify({ auths: { [mirror.host]: { auth: token } } }), { mode: 0o600 });
});
afterEach(async () => {
  await Promise.all([origin.close(), mirror.close()]);
  await rm(folder, { recursive: true });
});

/** A node's configuration, with `mirrors` of the origin, and with the registries.conf at `conf`. */
async function configure(mirrors: string, conf = 'null'): Promise<void> {
  const slot = (name: string) => `{ bootName: ${name}, partitions: { root: { device: /dev/${name} } } }`;
  await writeFile(
    at('kaon.yaml'),
    `formatVersion: 1
node: { compatible: board-1 }
stateDir: ${folder}
slots: { a: ${slot('A')}, b: ${slot('B')} }
bootloader: { type: grub, environment: ${at('grubenv')} }
trust:
  keys: { release: { file: ${at('release.pub')} } }
  rules: [{ prefix: "${origin.host}/os", require: { keys: [release] } }]
registriesConf: ${conf}
registries:
  "${origin.host}": { insecureHttp: true, mirrors: [${mirrors}] }
  "${mirror.host}": { insecureHttp: true, authFile: ${at('auth.json')} }
  unrelated.test: { caFile: /nowhere.pem }
`,
  );
}

/** Runs a command on the image at the origin; its exit code, and what it printed. */
async function run(...command: readonly string[]): Promise<readonly [exitCode: number, printed: string]> {
  const io = new RecordingIo({ environment: { KAON_SOCKET: at('kaon.sock') } });
  const args = [...command, `${origin.host}/os/edge:v1`, '--config', at('kaon.yaml')];
  const exitCode = await runCli(args, io, testDeps());
  return [exitCode, io.stdout + io.stderr];
}

const commands = [
  ['trust', 'explain'],
  ['image', 'verify'],
  ['image', 'inspect'],
] as const;
const askedByTag = (registry: EmbeddedRegistry) =>
  registry.requests.some(({ path }) => /\/manifests\/(?!sha256:)/.test(path));

describe.each(commands)('%s %s with the configuration of a node', (...command) => {
  it('asks its mirrors first, by digest alone, and the registry what the tag means', async () => {
    await configure(`{ location: "${mirror.host}/copies" }`);
    const [exitCode, printed] = await run(...command);
    expect([exitCode, printed]).toEqual([0, expect.stringContaining(digest)]);
    expect([askedByTag(mirror), askedByTag(origin)]).toEqual([false, true]);
    const blobs = (registry: EmbeddedRegistry) => registry.requests.filter(({ path }) => path.includes('/blobs/'));
    expect(blobs(mirror).length).toBeGreaterThan(0);
    expect(blobs(origin)).toEqual([]);
  });

  it('needs no registry where a mirror may say what tags mean', async () => {
    await configure(`{ location: "${mirror.host}/copies", tags: true }`);
    await origin.close();
    expect(await run(...command)).toEqual([0, expect.stringContaining(digest)]);
  });

  it('goes by a registries.conf where there is one', async () => {
    const conf = `[[registry]]\nprefix = "${origin.host}"\nlocation = "${mirror.host}/copies"\n`;
    await writeFile(at('registries.conf'), conf);
    await configure('', at('registries.conf'));
    expect(await run(...command)).toEqual([0, expect.stringContaining(digest)]);
    expect(origin.requests).toEqual([]);
  });
});
