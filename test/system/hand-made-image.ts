import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const partitionType = 'application/vnd.kaon.partition.v1.raw';
const insecure = ['--insecure-policy'];

/** Files that become an image by the tools of the distribution alone. */
export interface HandMadeParts {
  readonly version: string;
  readonly compression: 'gzip' | 'zstd';
  /** File by partition. */
  readonly partitions: Readonly<Record<string, string>>;
}

async function shell(directory: string, script: string): Promise<string> {
  const { stdout } = await run('sh', ['-euc', script], { cwd: directory, maxBuffer: 16 * 1024 * 1024 });
  return stdout.trim();
}

const digestOf = async (directory: string, file: string) =>
  `sha256:${await shell(directory, `sha256sum ${file} | cut -d' ' -f1`)}`;
const sizeOf = async (directory: string, file: string) => Number(await shell(directory, `stat -c %s ${file}`));

/**
 * An image as `dir:` of skopeo below `directory`, made by gzip or zstd, sha256sum and this manifest: nothing of the
 * product has touched it. zstd layers have two frames, as parallel compressors make them.
 */
export async function makeImageByHand(
  directory: string,
  parts: HandMadeParts,
): Promise<{ path: string; digest: string }> {
  const path = await mkdtemp(join(directory, 'image-'));
  const partitions: object[] = [];
  const layers: object[] = [];
  for (const [name, file] of Object.entries(parts.partitions)) {
    const half = Math.floor((await sizeOf(path, file)) / 2);
    const pack =
      parts.compression === 'gzip'
        ? `gzip -1 -n -c ${file}`
        : `{ head -c ${half} ${file} | zstd -q -1 -c; tail -c +${half + 1} ${file} | zstd -q -3 -c; }`;
    await shell(path, `${pack} > ${name}`);
    const digest = await digestOf(path, name);
    const size = await sizeOf(path, name);
    await shell(path, `mv ${name} ${digest.slice('sha256:'.length)}`);
    layers.push({ mediaType: `${partitionType}+${parts.compression}`, digest, size });
    partitions.push({ name, layer: digest, digest: await digestOf(path, file), sizeBytes: await sizeOf(path, file) });
  }
  const config = JSON.stringify({
    formatVersion: 1,
    name: 'edge',
    version: parts.version,
    compatible: ['system-board'],
    rollbackIndex: 1,
    partitions,
  });
  await writeFile(join(path, 'config'), config);
  const configDigest = await digestOf(path, 'config');
  await shell(path, `mv config ${configDigest.slice('sha256:'.length)}`);
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.kaon.image.v1',
    config: { mediaType: 'application/vnd.kaon.config.v1+json', digest: configDigest, size: Buffer.byteLength(config) },
    layers,
  };
  await writeFile(join(path, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  return { path, digest: await digestOf(path, 'manifest.json') };
}

/** Signs the image in `path` by openssl with the Ed25519 key in `keyFile`; skopeo pushes the signature along. */
export async function signByOpenssl(path: string, digest: string, keyFile: string): Promise<void> {
  const payload = JSON.stringify({
    critical: {
      identity: { 'docker-reference': '' },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: null,
  });
  const work = await mkdtemp(join(path, '..', 'sign-'));
  await writeFile(join(work, 'payload'), payload);
  const signature = await shell(work, `openssl pkeyutl -sign -rawin -inkey ${keyFile} -in payload | base64 -w0`);
  const text = JSON.stringify({
    mimeType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    payload: Buffer.from(payload).toString('base64'),
    annotations: { 'dev.cosignproject.cosign/signature': signature },
  });
  await writeFile(join(path, 'signature-1'), `\0sigstore-json\n${text}`);
}

/** Pushes the image by skopeo, its signature in cosign's layout. `login` is `user:password`. */
export async function pushBySkopeo(path: string, reference: string, login?: string): Promise<void> {
  const settings = join(path, '..', 'registries.d');
  await mkdir(settings, { recursive: true });
  await writeFile(join(settings, 'default.yaml'), 'default-docker: {use-sigstore-attachments: true}\n');
  const credentials = login === undefined ? [] : ['--dest-creds', login];
  await run('skopeo', [
    ...insecure,
    '--registries.d',
    settings,
    'copy',
    '--dest-tls-verify=false',
    ...credentials,
    `dir:${path}`,
    `docker://${reference}`,
  ]);
}

/** Copies an image between two places by skopeo, signatures included. */
export async function copyBySkopeo(from: string, to: string): Promise<void> {
  await run('skopeo', [...insecure, 'copy', '--src-tls-verify=false', '--dest-tls-verify=false', from, to]);
}

/** An Ed25519 key pair made by openssl: the files of the private and the public key. */
export async function makeKeyByOpenssl(directory: string, name: string): Promise<{ key: string; pub: string }> {
  const [key, pub] = [join(directory, `${name}.key`), join(directory, `${name}.pub`)];
  await run('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]);
  await run('openssl', ['pkey', '-in', key, '-pubout', '-out', pub]);
  return { key, pub };
}
