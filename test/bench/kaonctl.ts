import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Content } from './content.ts';

const program = fileURLToPath(new URL('../../package/bin/kaonctl.js', import.meta.url));

/** How kaonctl ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real kaonctl to its end. */
export async function kaonctl(args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text));
  const exitCode = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)));
  return { exitCode, ...texts };
}

/** Runs kaonctl; rejects with what it says where it does not end with 0. */
export async function kaonctlOrThrow(...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await kaonctl(args);
  if (exitCode !== 0) throw new Error(`kaonctl ${args.join(' ')} failed with ${exitCode}: ${stderr}`);
}

/** Builds an image of `content` into an OCI layout at `path`; its frames are cut by the image in the layout `previous`. */
export async function buildLayout(content: Content, path: string, level: number, previous?: string): Promise<void> {
  await kaonctlOrThrow(
    ...['image', 'build', '--name', 'bench', '--version', '1', '--compatible', 'bench', '--level', String(level)],
    ...(previous === undefined ? [] : ['--previous', previous]),
    ...['--partition', `root=${content.file}`, '--output', path],
  );
}
