import { readFileSync } from 'node:fs';
import type { CliDeps } from './cli/invocation.ts';
import type { Io } from './cli/io.ts';
import { runCli } from './cli/program.ts';
import { readBuildTime } from './compose/agent-version.ts';
import { ProcessCommandRunner } from './host/process-command-runner.ts';
import { SystemClock } from './host/system-clock.ts';
import { SystemRandom } from './host/system-random.ts';

/** How container tools name what Node runs on. */
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Ctrl-C, once: a second one ends the process where it is. */
function interruption(): AbortSignal {
  const interrupted = new AbortController();
  process.once('SIGINT', () => {
    interrupted.abort(new Error('interrupted'));
  });
  return interrupted.signal;
}

/** The version in the package.json above this file: of the sources, or of what the build made. */
function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const isNamed = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return isNamed ? String(parsed.version) : 'unknown';
}

// What few commands need is loaded by them: most only ask the daemon, often on a processor that is slow to start.
async function findLoaders() {
  const [{ detectLoaders }, { readLoaderFacts }] = await Promise.all([
    import('../bootloader/detect.ts'),
    import('../bootloader/read-loader-facts.ts'),
  ]);
  return detectLoaders(await readLoaderFacts());
}

const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY,
  columns: process.stderr.columns || 80,
  clock: new SystemClock(),
  interrupted: interruption(),
  environment: process.env,
};

const deps: CliDeps = {
  version: readVersion(),
  builtAtMs: readBuildTime(import.meta.url),
  random: new SystemRandom(),
  platform: { os: 'linux', architecture: architectures[process.arch] ?? process.arch, variant: undefined },
  detectLoaders: findLoaders,
  readInitFacts: async () => {
    const { readInitFacts } = await import('./compose/read-init-facts.ts');
    return readInitFacts(await findLoaders());
  },
  inspectNode: async (node, signal) => {
    const { nodeInspector } = await import('./compose/inspect-node.ts');
    const ports = { commands: new ProcessCommandRunner(), clock: io.clock, random: new SystemRandom() };
    return nodeInspector(ports)(node, signal);
  },
  openInput: () => process.stdin as AsyncIterable<Buffer>,
};

/** Whoever reads our output may stop, as `head` does. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

process.exitCode = await runCli(process.argv.slice(2), io, deps);
