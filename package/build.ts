import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = fileURLToPath(new URL('../dist', import.meta.url));

/** Makes `dist` anew: the sources as JavaScript in the same folders, and what they read at run time. */
function build(): number {
  rmSync(dist, { recursive: true, force: true });
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const project = fileURLToPath(new URL('tsconfig.build.json', import.meta.url));
  const { status } = spawnSync(process.execPath, [compiler, '--project', project], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    process.stderr.write('cannot build dist: tsc found errors, see above\n');
    return 1;
  }
  // The programs read their version from the package.json one folder above them.
  copyFileSync(`${root}package.json`, `${dist}/package.json`);
  return 0;
}

process.exitCode = build();
