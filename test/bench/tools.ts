import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { run, shell } from '../vm/shell.ts';

/** What the bench runs of Debian: the peers, and what feeds them. */
export const debianPackages = [
  ...['docker-registry', 'nginx-light', 'curl', 'zstd', 'gzip', 'swupdate', 'rauc', 'mender-client', 'mender-artifact'],
  ...[
    'casync',
    'dbus-daemon',
    'squashfs-tools',
    'mmdebstrap',
    'cpio',
    'openssl',
    'e2fsprogs',
    'util-linux',
    'mount',
    'python3',
    'tar',
  ],
];

/** Packages whose versions stand under the table. */
const shown = ['swupdate', 'rauc', 'mender-client', 'casync', 'zstd', 'curl', 'docker-registry', 'nginx-light'];

/** Installs what is missing, from Debian. Rejects with what apt-get says. */
export async function installPeers(say: (line: string) => void): Promise<void> {
  const missing: string[] = [];
  for (const name of debianPackages) if ((await versionOf(name)) === undefined) missing.push(name);
  if (missing.length === 0) return;
  say(`installing: ${missing.join(' ')}`);
  await shell(
    `apt-get update -qq && apt-get install -y -qq --no-install-recommends ${missing.join(' ')} >/dev/null 2>&1`,
    { DEBIAN_FRONTEND: 'noninteractive' },
  );
}

/** Versions of everything that a number depends on. */
export async function versions(): Promise<Readonly<Record<string, string>>> {
  const packages = await Promise.all(shown.map(async (name) => [name, (await versionOf(name)) ?? 'missing'] as const));
  const commit = await run('git', 'describe', '--always', '--dirty').catch(() => 'unknown');
  const debian = await readFile('/etc/debian_version', 'utf8').catch(() => 'unknown');
  const kernel = await readFile('/proc/sys/kernel/osrelease', 'utf8');
  return {
    kaon: commit.trim(),
    node: process.versions.node,
    ...Object.fromEntries(packages),
    Debian: debian.trim(),
    Linux: kernel.trim(),
  };
}

/** The machine, in a few words. */
export function describeMachine(): string {
  const [first] = cpus();
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GiB`;
}

/** The one-minute load average. */
export async function loadNow(): Promise<number> {
  return Number((await readFile('/proc/loadavg', 'utf8')).split(' ', 1)[0]);
}

async function versionOf(name: string): Promise<string | undefined> {
  const found = await run('dpkg-query', '-W', '-f=${db:Status-Abbrev}${Version}', name).catch(() => '');
  return found.startsWith('ii ') ? found.slice(3).trim() : undefined;
}
