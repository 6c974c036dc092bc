import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { shell } from '../vm/shell.ts';
import type { Cache } from './cache.ts';
import { type Content, sizeOf } from './content.ts';
import type { ImagePair } from './pairs.ts';

const imageMiB = 1024;
const epoch = 1_700_000_000;

/**
 * A node as people build them: a kernel that has the modules of its few machines and not of all, an initrd, containers,
 * a server, two interpreters.
 */
const packages = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'systemd-sysv', 'udev', 'dbus', 'kmod', 'zstd', 'e2fsprogs'],
  ...['iproute2', 'openssh-server', 'nginx-light', 'openssl', 'ca-certificates', 'curl', 'tzdata', 'libexpat1'],
  ...['python3', 'perl', 'podman', 'network-manager', 'chrony', 'nftables', 'jq'],
];

/** What the small update brings, each in the newest version that the security archive has. */
const upgraded = ['openssl', 'libssl3', 'nginx-light', 'nginx-common', 'libexpat1', 'tzdata', 'curl', 'libcurl4'];

const release = 'bookworm';
const newerReleases = [`${release}-updates`, `${release}-security`];

/**
 * Two updates of one Debian 12: its release pocket as it is, then with a few packages of the security archive, and with
 * all of them, kernel and initrd included. The same archive gives the same bytes: file systems carry no time but one.
 */
export async function debianPairs(cache: Cache): Promise<readonly ImagePair[]> {
  const made = createHash('sha256')
    .update([...packages, ...upgraded].join(' '))
    .digest('hex')
    .slice(0, 16);
  const folder = await cache.file(`debian-pairs-${made}`, async (path) => {
    // Where this machine has its own Debian from.
    const targets = await shell(`apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)'`);
    const [sources, newerSources] = [sourceLines(targets, [release]), sourceLines(targets, newerReleases)];
    const makeAll = [makeTrees(sources, newerSources), makeImages()];
    await shell(`mkdir ${path}\ncd ${path}\n${makeAll.join('\n')}\nrm -r older small kernel`);
  });
  const content = async (name: string): Promise<Content> => {
    const file = join(folder, `${name}.img`);
    return { file, sizeBytes: await sizeOf(file) };
  };
  const older = await content('older');
  return [
    { name: 'small', older, newer: await content('small'), origin: `Debian 12, ${upgraded.length} packages upgraded` },
    { name: 'kernel', older, newer: await content('kernel'), origin: 'Debian 12, all upgraded, kernel and initrd new' },
  ];
}

/** Lines of a sources.list for `releases`, of what apt says of the archives it knows: `URI RELEASE COMPONENT` each. */
export function sourceLines(targets: string, releases: readonly string[]): readonly string[] {
  return releases.map((wanted) => {
    const known = targets.split('\n').map((line) => line.split(' '));
    const found = known.find(([, name, component]) => name === wanted && component === 'main');
    if (found === undefined) throw new Error(`cannot make the pairs: apt knows no ${wanted} main`);
    return `deb ${found.join(' ')}`;
  });
}

/** The three trees: the two newer ones are upgraded copies of the first, as nodes' images are built one on the other. */
function makeTrees(sources: readonly string[], newerSources: readonly string[]): string {
  const upgrade = (tree: string, command: string) => `
    cp -a older ${tree}
    printf '%s\\n' ${newerSources.map((line) => `'${line}'`).join(' ')} >> ${tree}/etc/apt/sources.list
    in_tree ${tree} "apt-get update -qq && ${command} && apt-get autoremove -qq -y --purge"`;
  return `
    in_tree() {
      unshare --mount --propagation private sh -ec '
        mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; cp /etc/resolv.conf "$1/etc/resolv.conf"
        exec chroot "$1" env DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=${epoch} sh -ec "$2"
      ' sh "$1" "$2" >> log 2>&1
    }
    mmdebstrap --quiet --variant=minbase --include=${packages.join(',')} \
      --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
      ${release} older ${sources.map((line) => `'${line}'`).join(' ')} >> log 2>&1
    printf '#!/bin/sh\\nexit 101\\n' > older/usr/sbin/policy-rc.d && chmod 755 older/usr/sbin/policy-rc.d
    in_tree older 'update-initramfs -u -k all'
    ${upgrade('small', `apt-get install -qq -y --only-upgrade ${upgraded.join(' ')}`)}
    ${upgrade('kernel', 'apt-get dist-upgrade -qq -y')}
    for kernel in $(ls kernel/boot/vmlinuz-* | sort -V | head -n -1); do
      in_tree kernel "apt-get purge -qq -y linux-image-\${kernel#kernel/boot/vmlinuz-}"
    done`;
}

/** A file system of each tree, without what a build leaves behind, and without its times. */
function makeImages(): string {
  return `
    for tree in older small kernel; do
      rm -rf $tree/var/lib/apt/lists $tree/var/cache/apt $tree/var/cache/debconf $tree/var/log $tree/var/cache/ldconfig
      rm -f $tree/var/lib/dpkg/*-old $tree/etc/resolv.conf $tree/etc/machine-id $tree/var/lib/systemd/random-seed
      mkdir $tree/var/log
      : > $tree/etc/machine-id
      find $tree -name __pycache__ -prune -exec rm -r {} +
      find $tree -exec touch -h -d @${epoch} {} +
      E2FSPROGS_FAKE_TIME=${epoch} SOURCE_DATE_EPOCH=${epoch} mkfs.ext4 -q -m 0 -L root \
        -U 00000000-0000-4000-8000-000000000001 -E hash_seed=00000000-0000-4000-8000-000000000002 \
        -d $tree $tree.img ${imageMiB}M
      # mkfs takes times over that no touch reaches: all in use get the same.
      dumpe2fs -h $tree.img 2>/dev/null |
        awk '/^Inode count/ { all = $3 } /^Free inodes/ { free = $3 } END { print all - free }' > used
      awk -v used=$(cat used) 'BEGIN {
        for (inode = 2; inode <= used; inode += inode == 2 ? 9 : 1)
          for (field = 1; field <= 3; field++)
            print "set_inode_field <" inode "> " (field == 1 ? "ctime" : field == 2 ? "atime" : "crtime") " @${epoch}"
      }' > times
      E2FSPROGS_FAKE_TIME=${epoch} debugfs -w -f times $tree.img >> log 2>&1
      e2fsck -fn $tree.img >> log 2>&1
    done
    rm times used`;
}
