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

/** Builds an image of `content` into an OCI layout at `path`. */
export async function buildLayout(content: Content, path: string, level: number): Promise<void> {
  await kaonctlOrThrow(
    ...['image', 'build', '--name', 'bench', '--version', '1', '--compatible', 'bench', '--level', String(level)],
    ...['--partition', `root=${content.file}`, '--output', path],
  );
}
