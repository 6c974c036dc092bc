import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { leanFastify } from './lean-fastify.ts';
import { leanHttp } from './lean-http.ts';
import { nativePackage, runtimePackages } from './runtime-packages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

/** What is started by its path, as a program or a thread: each is a file of its own, in the folder of its source. */
const entries = [
  'agent/kaond',
  'agent/kaon-slotd',
  'agent/kaon-check',
  'agent/kaonctl',
  'agent/host/system-facts-worker',
  'agent/host/host-readings-worker',
  'partitions/frames/frame-worker',
];

function checkTypes(): boolean {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [compiler, '--noEmit'], { cwd: root, stdio: 'inherit' });
  return status === 0;
}

async function bundle(): Promise<void> {
  const bundler = await rolldown({
    input: Object.fromEntries(entries.map((entry) => [entry, join(root, `${entry}.ts`)])),
    platform: 'node',
    external: [nativePackage],
    plugins: [leanFastify, leanHttp],
  });
  try {
    await bundler.write({
      dir: dist,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'shared/[name]-[hash].js',
      // V8 keeps the text of what it may still have to compile, in two bytes a character where one of them needs two.
      // Names stay, for the sake of stack traces.
      minify: { compress: false, mangle: false, codegen: { removeWhitespace: true, asciiOnly: true } },
      comments: false,
    });
  } finally {
    await bundler.close();
  }
}

/** The licences of all packages that are part of the bundle, as they ask for. */
function licences(): string {
  const texts = runtimePackages().map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as {
      readonly name: string;
      readonly version: string;
      readonly license?: string;
    };
    const file = readdirSync(path).find((one) => /^licen[cs]e/i.test(one));
    const text = file === undefined ? '' : `\n${readFileSync(join(path, file), 'utf8').trim()}\n`;
    return `${name} ${version}, ${license ?? 'see below'}\n${text}`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** What a node takes for the earliest time that it can be; SOURCE_DATE_EPOCH (seconds) for builds that are repeated. */
function builtAt(): string {
  const seconds = process.env['SOURCE_DATE_EPOCH'];
  return new Date(seconds === undefined ? Date.now() : Number(seconds) * 1000).toISOString();
}

/** Makes `dist` anew: each program as one file and what it shares with others, and what they read at run time. */
async function build(): Promise<number> {
  rmSync(dist, { recursive: true, force: true });
  if (!checkTypes()) {
    process.stderr.write('cannot build dist: tsc found errors, see above\n');
    return 1;
  }
  await bundle();
  // The programs read their version and their age from the package.json one folder above them.
  const described = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as object;
  const json = JSON.stringify({ ...described, builtAt: builtAt() }, undefined, 2);
  writeFileSync(join(dist, 'package.json'), `${json}\n`);
  writeFileSync(join(dist, 'THIRD-PARTY-LICENCES'), licences());
  return 0;
}

process.exitCode = await build();
