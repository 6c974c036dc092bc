import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The one package that stays a package: it brings native code. All others are part of the bundle. */
export const nativePackage = 'better-sqlite3';

/** Folders of the packages that run on a node, as npm resolved them. */
export function runtimePackages(): readonly string[] {
  const npm = ['ls', '--omit=dev', '--all', '--parseable'];
  const listed = execFileSync('npm', npm, { cwd: root, encoding: 'utf8' }).trim().split('\n');
  return listed.filter((path) => `${path}/` !== root && !/\/node-linux-[a-z0-9]+$/.test(path));
}
