import { createHash } from 'node:crypto';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How an image behaves once the firmware started it. */
export type Behaviour =
  /** comes up, and its service answers */
  | 'healthy'
  /** comes up, and its service answers 503 */
  | 'unhealthy'
  /** panics before any userspace */
  | 'dies-early';

/** The partitions of a slot, each with its size and how much of it an image fills. */
export const partitions = {
  boot: { sizeBytes: 4 * 1024 * 1024, contentBytes: 3 * 1024 * 1024 },
  root: { sizeBytes: 32 * 1024 * 1024, contentBytes: 20 * 1024 * 1024 },
} as const;

export type PartitionName = keyof typeof partitions;

/** The files of one version of the system, as somebody would build them from containers. */
export interface SystemFiles {
  readonly version: string;
  readonly files: Readonly<Record<PartitionName, string>>;
  readonly digests: Readonly<Record<PartitionName, string>>;
}

/** Bytes that compress to about half, the same for the same seed. */
function contentBytes(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = seed >>> 0 || 1;
  for (let at = 0; at + 4 <= sizeBytes; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state & 0x0f0f0f0f, at);
  }
  return bytes;
}

/** Writes the files of a version into `folder`. The first line of each partition says what it is, as `/etc/os-release` would. */
export async function makeSystem(folder: string, version: string, behaviour: Behaviour): Promise<SystemFiles> {
  const directory = join(folder, `system-${version}`);
  await mkdir(directory, { recursive: true });
  const made = await Promise.all(
    (Object.keys(partitions) as PartitionName[]).map(async (name) => {
      const content = contentBytes(
        partitions[name].contentBytes,
        version.length * 7919 + name.charCodeAt(0) + version.charCodeAt(0),
      );
      content.write(`kaon demo ${name} version=${version} behaviour=${behaviour}\n`, 0, 'latin1');
      const file = join(directory, `${name}.img`);
      await writeFile(file, content);
      return [name, file, digestOf(content)] as const;
    }),
  );
  return {
    version,
    files: Object.fromEntries(made.map(([name, file]) => [name, file])) as SystemFiles['files'],
    digests: Object.fromEntries(made.map(([name, , digest]) => [name, digest])) as SystemFiles['digests'],
  };
}

/** What a slot's root says that it is; `undefined` where nothing can boot. */
export async function readSystem(
  rootFile: string,
): Promise<{ readonly version: string; readonly behaviour: Behaviour } | undefined> {
  const handle = await open(rootFile, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(256), 0, 256, 0);
    const found = /^kaon demo root version=(\S+) behaviour=(\S+)\n/.exec(buffer.toString('latin1', 0, bytesRead));
    if (found === null) return undefined;
    return { version: found[1] ?? '', behaviour: found[2] as Behaviour };
  } finally {
    await handle.close();
  }
}

/** The digest of the content on a partition, and whether everything behind it is zero. */
export async function examinePartition(
  file: string,
  name: PartitionName,
): Promise<{ readonly digest: string; readonly isTailZero: boolean }> {
  const bytes = await readFile(file);
  const { contentBytes: length } = partitions[name];
  return {
    digest: digestOf(bytes.subarray(0, length)),
    isTailZero: bytes.subarray(length).every((byte) => byte === 0),
  };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
