import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nativePackage } from './runtime-packages.ts';

const source = fileURLToPath(new URL('..', import.meta.url));
const home = '/usr/lib/kaon';
const architectures = ['x64', 'arm64'];
const programs = ['kaond', 'kaon-slotd', 'kaon-check', 'kaonctl'];
const units = [
  'kaond.service',
  'kaon-slotd.socket',
  'kaon-slotd.service',
  'kaon-check.socket',
  'kaon-check.service',
  'kaon-health.service',
  'kaon-trial-guard.timer',
  'kaon-trial-guard.service',
];
const enabledUnits = [
  'kaond.service',
  'kaon-slotd.socket',
  'kaon-check.socket',
  'kaon-health.service',
  'kaon-trial-guard.timer',
];
const scripts = ['kaon-trial-guard', 'kaon-boot-ended'];

const help = `Installs kaon into the root file system of an image that is being built.

Usage: node package/install.ts --root DIR [--arch ARCH] [--with-node | --node FILE]

  --root DIR    the root of the image
  --arch ARCH   the processor of the image: x64 or arm64; this one's unless it is given
  --with-node   put this Node (${process.version}, ${process.arch}) into the image, too
  --node FILE   put this program into the image as its Node: one for the image's processor
  --help

Build first: npm run build. What is there already of an older kaon is replaced.

Example: node package/install.ts --root ./rootfs --with-node
`;

/** What a node does not need of a package: sources of native code, other platforms, types, documentation. */
function isNeeded(path: string, arch: string): boolean {
  const name = basename(path);
  if (/\.(d\.[cm]?ts|map|md|ts|h|c|cc|gyp)$/.test(name) || name === '.bin') return false;
  if (/\/better-sqlite3\/(deps|src)$/.test(path)) return false;
  if (/\/prebuilds\/[^/]+\.node$/.test(path)) return name === `linux-${arch}.node`;
  return !/\/(test|tests|docs|benchmarks?|examples)$/.test(path);
}

function installCode(root: string, arch: string): void {
  const target = join(root, home);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, 'bin'), { recursive: true });
  for (const name of ['dist', 'package.json', 'package/bin', 'package/launch.js', 'LICENSE']) {
    cpSync(join(source, name), join(target, name), { recursive: true });
  }
  cpSync(join(source, 'node_modules', nativePackage), join(target, 'node_modules', nativePackage), {
    recursive: true,
    filter: (from) => isNeeded(from, arch),
  });
  cpSync(join(source, 'examples'), join(root, 'usr/share/kaon/examples'), { recursive: true });
}

function installPrograms(root: string): void {
  for (const name of programs) {
    const path = join(root, home, 'bin', name);
    // A Node of its own comes first: that of the image may be too old.
    writeFileSync(
      path,
      `#!/bin/sh\nnode=${home}/node\n[ -x "$node" ] || node=node\nexec "$node" ${home}/package/bin/${name}.js "$@"\n`,
    );
    chmodSync(path, 0o755);
  }
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  const link = join(root, 'usr/bin/kaonctl');
  rmSync(link, { force: true });
  symlinkSync(`${home}/bin/kaonctl`, link);
  for (const name of scripts) cpSync(join(source, 'systemd-units', name), join(root, home, 'bin', name));
}

function installUnits(root: string): void {
  const systemd = join(root, 'usr/lib/systemd/system');
  mkdirSync(systemd, { recursive: true });
  for (const unit of units) cpSync(join(source, 'systemd-units', unit), join(systemd, unit));
  for (const folder of ['sysusers.d', 'tmpfiles.d', 'systemd/system-preset', 'systemd/system.conf.d']) {
    const from = join(source, 'systemd-units', basename(folder));
    cpSync(from, join(root, 'usr/lib', folder), { recursive: true });
  }
  execFileSync('systemd-sysusers', [`--root=${root}`, 'kaon.conf'], { stdio: ['ignore', 'inherit', 'inherit'] });
  execFileSync('systemctl', [`--root=${root}`, 'enable', '--quiet', ...enabledUnits], { stdio: 'inherit' });
  mkdirSync(join(root, 'etc/kaon'), { recursive: true });
}

function installNode(root: string, node: string): void {
  const path = join(root, home, 'node');
  cpSync(realpathSync(node), path);
  chmodSync(path, 0o755);
}

function main(): number {
  const { values } = parseArgs({
    options: {
      root: { type: 'string' },
      arch: { type: 'string', default: process.arch },
      'with-node': { type: 'boolean' },
      node: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const { arch } = values;
  const node = values.node ?? (values['with-node'] === true ? process.execPath : undefined);
  if (values.help === true || values.root === undefined) {
    process.stdout.write(help);
    return values.help === true ? 0 : 64;
  }
  if (!existsSync(join(source, 'dist/agent/kaond.js'))) {
    process.stderr.write('cannot install: dist is not built\nfix: npm run build\n');
    return 78;
  }
  if (!architectures.includes(arch)) {
    process.stderr.write(`cannot install for ${arch}: kaon runs on ${architectures.join(' and ')}\nfix: --arch\n`);
    return 64;
  }
  if (values['with-node'] === true && arch !== process.arch) {
    process.stderr.write(`cannot install: this Node is for ${process.arch}, not ${arch}\nfix: --node FILE\n`);
    return 64;
  }
  // Whatever else is wrong with this tree should show before anything is written.
  createRequire(join(source, 'package.json')).resolve(nativePackage);
  const root = realpathSync(values.root);
  installCode(root, arch);
  installPrograms(root);
  installUnits(root);
  if (node !== undefined) installNode(root, node);
  process.stdout.write(`kaon is installed in ${root}\n`);
  return 0;
}

process.exitCode = main();
