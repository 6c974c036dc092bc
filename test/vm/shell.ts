import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a program to its end; rejects with what it wrote to stderr. Resolves to its stdout. */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await execute(program, args, { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stderr, stdout } = error as { readonly stderr?: string; readonly stdout?: string };
    throw new Error(`${program} ${args.join(' ')} failed: ${(stderr ?? '') || (stdout ?? '') || String(error)}`, {
      cause: error,
    });
  }
}

/** Runs a program to its end. Resolves to the bytes of its stdout. */
export async function runForBytes(program: string, ...args: readonly string[]): Promise<Buffer> {
  return (await execute(program, args, { maxBuffer: 64 * 1024 * 1024, encoding: 'buffer' })).stdout;
}

/** Runs a shell script that stops at its first error. */
export async function shell(script: string, environment: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const texts = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`a script failed with ${code}: ${script}\n${texts.stderr.slice(-4000)}`);
  return texts.stdout;
}
