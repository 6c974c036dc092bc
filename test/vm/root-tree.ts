import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFileSystem, partitions } from './disk.ts';
import { patience } from './patience.ts';
import { run, shell } from './shell.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

const packages = [
  ...['usr-is-merged', 'systemd', 'systemd-sysv', 'systemd-boot', 'udev', 'dbus', 'kmod', 'libstdc++6', 'e2fsprogs'],
  ...['iproute2', 'util-linux', 'bash', 'netcat-openbsd'],
];

/** What only slows a guest of this kind down, or waits for what is not there. */
const masked = [
  ...['systemd-logind.service', 'getty@tty1.service', 'systemd-update-utmp.service'],
  ...['systemd-update-utmp-runlevel.service', 'systemd-machine-id-commit.service', 'ldconfig.service'],
  ...['systemd-journal-catalog-update.service', 'systemd-networkd-wait-online.service', 'systemd-hwdb-update.service'],
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'fstrim.timer', 'e2scrub_all.timer'],
  ...['e2scrub_reap.service', 'dev-hugepages.mount', 'dev-mqueue.mount', 'sys-kernel-debug.mount'],
  ...['sys-kernel-tracing.mount', 'proc-sys-fs-binfmt_misc.automount', 'systemd-binfmt.service'],
  ...['sys-fs-fuse-connections.mount', 'sys-kernel-config.mount', 'kmod-static-nodes.service'],
  ...['systemd-tmpfiles-setup-dev.service', 'systemd-journal-flush.service', 'systemd-random-seed.service'],
];

/** Generators of units that no node of this kind has; each is a program more in each boot. */
const maskedGenerators = [
  ...['cryptsetup', 'integritysetup', 'veritysetup', 'hibernate-resume', 'rc-local', 'sysv', 'gpt-auto'],
  ...['debug', 'getty', 'run', 'system-update'],
];

/** The programs that a node keeps: what systemd, its units, kaon and the scenario's script start. */
const keptPrograms = [
  'sh bash dash [ test true false cat chmod chown cp cut date dd echo env find findmnt flock getent grep gzip head id ln',
  'ls lsblk mkdir mktemp mount mountpoint mv od printf readlink realpath rm rmdir sed setpriv sleep sort stat sync tail',
  'tee timeout touch tr umount uname wc nc nc.openbsd node kaon* fw_* kmod modprobe insmod rmmod lsmod depmod blkid',
  'e2fsck fsck fsck.ext4 losetup sulogin switch_root ip systemctl udevadm journalctl networkctl busctl bootctl loginctl',
  'timedatectl dbus-daemon dbus-send systemd systemd-[!ahr]* systemd-run init halt poweroff reboot shutdown',
].flatMap((names) => names.split(' '));

/** What no node needs. Every byte of a slot is written, hashed and read back by an emulated processor. */
export const leaveOut = [
  `find usr/bin usr/sbin -mindepth 1 ${keptPrograms.map((name) => `! -name '${name}'`).join(' ')} -delete;`,
  ...['rm -rf usr/lib/udev/hwdb* etc/udev/hwdb* usr/lib/*/{gconv,perl-base,perl,ossl-modules,sasl2}'],
  ...['usr/share/{doc,man,locale,info,perl5,bash-completion,zsh,lintian,zoneinfo} usr/lib/locale'],
  ...['usr/lib/*/lib{gnutls,nettle,hogweed,p11-kit,tasn1,idn2,unistring,db-5,semanage,sepol,ssl}*'],
  ...['usr/lib/*/lib{gmp,fdisk,gssapi_krb5,krb5,k5crypto,tirpc,nsl,cryptsetup,devmapper}* usr/lib/*/{krb5,cryptsetup}'],
  ...['usr/lib/apt usr/lib/*/libapt* usr/lib/*/libmvec* var/lib/{apt,dpkg} var/lib/systemd/catalog'],
  ...['var/cache/{apt,debconf,ldconfig} usr/lib/systemd/boot/efi/*.elf.stub'],
].join(' ');

/** The modules that a guest of either processor needs, where its kernel has them as modules. */
export const guestModules = [
  ...['fat', 'vfat', 'nls_ascii', 'nls_cp437', 'nls_iso8859-1', 'efivarfs', 'virtio', 'virtio_ring', 'virtio_pci'],
  ...[
    'virtio_pci_modern_dev',
    'virtio_pci_legacy_dev',
    'virtio_net',
    'net_failover',
    'failover',
    'autofs4',
    'watchdog',
    'softdog',
    'efi-pstore',
  ],
];

/**
 * A Debian with systemd, a real kernel and kaon, as somebody would build it: the distribution's part is kept in `cache`,
 * kaon, built before, is installed by its own installer. Resolves to the tree.
 */
export async function buildRootTree(cache: string, work: string): Promise<string> {
  const tree = join(work, 'root');
  await mkdir(tree);
  await shell(`tar -C ${tree} -xpf ${await distributionTar(cache)}`);
  await installKaon(tree, '--with-node');
  await shell(`strip ${tree}/usr/lib/kaon/node`);
  await finishTree(tree, 'ttyS0');
  await shell(`cd ${tree}; ${leaveOut}`);
  return tree;
}

/**
 * Moves Node from where kaon's installer put it in `tree` onto a partition of its own, whose file system becomes `file`,
 * and makes it the system's own: kaon takes that where it brings none.
 */
export async function moveNodeToPartition(tree: string, file: string): Promise<void> {
  const mountPoint = '/opt/node';
  const content = `${file}.content`;
  await shell(`
    mkdir -p ${content}/bin ${tree}${mountPoint}
    mv ${tree}/usr/lib/kaon/node ${content}/bin/node
    ln -s ${mountPoint}/bin/node ${tree}/usr/bin/node
    echo 'PARTLABEL=node ${mountPoint} ext4 ro 0 0' >> ${tree}/etc/fstab
  `);
  await makeFileSystem(content, file, partitions.node.sizeMiB, 'read-only');
  await shell(`rm -r ${content}`);
}

const path = `${repository}/node_modules/.bin:${process.env['PATH'] ?? ''}`;

/** Makes what `installKaon` installs. */
export async function buildKaon(): Promise<void> {
  await shell(`cd ${repository} && node package/build.ts`, { PATH: path });
}

/** Installs kaon into a tree by its own installer. */
export async function installKaon(tree: string, ...options: readonly string[]): Promise<void> {
  await shell(`cd ${repository} && node package/install.ts --root ${tree} ${options.join(' ')}`, { PATH: path });
}

/** Makes a tree with kaon this node, but for what its loader wants. `console` is its serial line. */
export async function finishTree(tree: string, console: string): Promise<void> {
  for (const unit of [...masked, `serial-getty@${console}.service`]) {
    await shell(`ln -sf /dev/null ${tree}/etc/systemd/system/${unit}`);
  }
  const generators = join(tree, 'etc/systemd/system-generators');
  await mkdir(generators, { recursive: true });
  for (const name of maskedGenerators) await shell(`ln -sf /dev/null ${generators}/systemd-${name}-generator`);
  await configure(tree, console);
}

async function distributionTar(cache: string): Promise<string> {
  await mkdir(cache, { recursive: true });
  const made = createHash('sha256')
    .update([...packages, ...guestModules].join(' '))
    .digest('hex')
    .slice(0, 16);
  const tar = join(cache, `distribution-${made}.tar`);
  if (existsSync(tar)) return tar;
  const building = join(cache, 'building');
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  await run(
    'mmdebstrap',
    '--quiet',
    '--variant=essential',
    '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
    `--include=${packages.join(',')}`,
    ...['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    'bookworm',
    join(building, 'root'),
  );
  await shell(`
    cd ${building}
    # The image package is a name for the kernel of the day.
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    apt-get download -qq "$kernel"
    dpkg -x linux-image-*.deb kernel
    version=$(ls kernel/lib/modules)
    cp kernel/boot/vmlinuz-* root/boot/vmlinuz
    mkdir -p root/usr/lib/modules/$version
    cp kernel/lib/modules/$version/modules.builtin* kernel/lib/modules/$version/modules.order root/usr/lib/modules/$version/
    for name in ${guestModules.join(' ')}; do
      file=$(find kernel/lib/modules/$version -name "$name.ko*" | head -n 1)
      [ -z "$file" ] || install -D "$file" "root/usr/\${file#kernel/}"
    done
    chroot root depmod "$version"
    tar -C root -cpf ${tar}.new .
    mv ${tar}.new ${tar}
  `);
  await rm(building, { recursive: true, force: true });
  return tar;
}

/**
 * Hardware that no emulator brings: a watchdog that reports each reset of its own, and a store of panics. Both found
 * nothing, on nodes that have the file.
 */
const watchdog: Readonly<Record<string, string>> = {
  'usr/lib/systemd/system/vm-watchdog.service': `[Unit]
Description=watchdog and panic store of this node
ConditionPathExists=/data/vm/watchdog
RequiresMountsFor=/data
Before=kaond.service
[Service]
Type=oneshot
ExecStart=/bin/bash /usr/lib/vm-watchdog
[Install]
WantedBy=multi-user.target
`,
  // WDIOF_CARDRESET, WDIOF_SETTIMEOUT, WDIOF_KEEPALIVEPING
  'usr/lib/vm-watchdog': `set -eu
# Makes the class, under which there is nothing without a driver.
modprobe softdog
mkdir -p /run/vm-watchdog/watchdog0
echo 0 >/run/vm-watchdog/watchdog0/bootstatus
echo 0x80a0 >/run/vm-watchdog/watchdog0/options
echo vm >/run/vm-panics
mount --bind /run/vm-watchdog /sys/class/watchdog
mount --bind /run/vm-panics /sys/module/pstore/parameters/backend
`,
};

/**
 * Has OpenSSL use none of the vector instructions of a PC, which an emulator calls a function for, each: SHA-256 then takes a quarter
 * less time. Nothing but the speed depends on it.
 */
const plainSha256 = 'DefaultEnvironment=OPENSSL_ia32cap=0x0\n';

const coldplugged = ['block', 'nvme', 'pci', 'virtio', 'net', 'misc']
  .map((name) => `--subsystem-match=${name}`)
  .join(' ');

/** What makes the tree this node: its configuration, its mounts, its network, and the script of the scenario. */
async function configure(tree: string, console: string): Promise<void> {
  await mkdir(join(tree, 'efi'), { recursive: true });
  await mkdir(join(tree, 'data'), { recursive: true });
  const fstab = [
    'PARTLABEL=esp /efi vfat umask=0077 0 0',
    'PARTLABEL=data /data ext4 defaults 0 0',
    'tmpfs /tmp tmpfs mode=1777 0 0',
    '/data/kaon /var/lib/kaon none bind,x-systemd.requires-mounts-for=/data 0 0',
    '/data/kaon-slotd /var/lib/kaon-slotd none bind,x-systemd.requires-mounts-for=/data 0 0',
  ];
  const files: Readonly<Record<string, string>> = {
    'etc/fstab': `${fstab.join('\n')}\n`,
    'etc/hostname': 'edge\n',
    'etc/machine-id': '',
    'etc/systemd/network/80-dhcp.network':
      '[Match]\nName=e*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n',
    'etc/modules-load.d/vm.conf': 'virtio_net\nvfat\n',
    // Each character that reaches the console is a trap into the emulator: of systemd's own words those that warn.
    'etc/systemd/system.conf.d/vm.conf': `[Manager]\nDefaultTimeoutStopSec=15s\nShowStatus=no\nLogLevel=notice\n${plainSha256}`,
    'etc/systemd/journald.conf.d/vm.conf': `[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/${console}\nMaxLevelConsole=info\n`,
    // The guard's own times are for nodes; the table of its decisions is what is tested. A good trial of a machine that is
    // slow and busy needs some 80 s.
    'etc/systemd/system/kaon-trial-guard.timer.d/vm.conf': `[Timer]\nOnBootSec=\nOnBootSec=${120 * patience}s\n`,
    // At the start udev hears of what a mount or a driver waits for, and not of each terminal.
    'etc/systemd/system/systemd-udev-trigger.service.d/vm.conf': `[Service]\nExecStart=\nExecStart=-udevadm trigger --action=add ${coldplugged}\n`,
    // There is no room on a root that nobody writes: the records stay where the kernel keeps them.
    'etc/systemd/pstore.conf.d/vm.conf': '[PStore]\nStorage=none\n',
    'usr/lib/systemd/system/edge.service': `[Unit]
Description=what this node is there for
Before=kaond.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/test ! -e /etc/kaon-edge-is-broken
[Install]
WantedBy=multi-user.target
`,
    'usr/lib/systemd/system/vm-scenario.service': `[Unit]
Description=what the scenario does in this boot
After=kaond.service
[Service]
Type=oneshot
ExecStart=/bin/bash /data/vm/scenario.sh
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
`,
  };
  for (const [name, text] of Object.entries({ ...files, ...watchdog })) {
    await mkdir(join(tree, name, '..'), { recursive: true });
    await writeFile(join(tree, name), text);
  }
  await mkdir(join(tree, 'var/lib/kaon'), { recursive: true });
  await mkdir(join(tree, 'var/lib/kaon-slotd'), { recursive: true });
  await shell(`
    ln -sf /run/systemd/resolve/resolv.conf ${tree}/etc/resolv.conf
    systemctl --root=${tree} enable --quiet vm-scenario.service vm-watchdog.service edge.service systemd-networkd.service
    systemctl --root=${tree} set-default --quiet multi-user.target
  `);
}
