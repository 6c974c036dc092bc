import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/**
 * Runs the suites: `node test/run.ts` those that need no root, `node test/run.ts system` those that do.
 * The last line is `N passed, N failed, N skipped`; before it stands what failed, and what was left out and why.
 */

const suites = {
  default: {
    projects: ['unit', 'contract', 'integration', 'crash', 'demo'],
    leftOut: 'system tests: they need root and real tools (npm run test:system)',
  },
  system: { projects: ['system'], leftOut: undefined },
} as const;

const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  numFailedTestSuites: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullish() }),
      ),
    }),
  ),
});

async function run(name: keyof typeof suites): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-test-'));
  try {
    const file = join(folder, 'report.json');
    const projects = suites[name].projects.flatMap((project) => ['--project', project]);
    const exitCode = await vitest([
      'run',
      ...projects,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ]);
    const counts = report.parse(JSON.parse(await readFile(file, 'utf8')));
    for (const line of failedLines(counts)) console.log(line);
    const { leftOut } = suites[name];
    if (leftOut !== undefined) console.log(`left out: ${leftOut}`);
    const skipped = counts.numPendingTests + counts.numTodoTests;
    // A file that can't be loaded fails without a test of its own.
    const failed = Math.max(counts.numFailedTests, exitCode === 0 ? 0 : 1);
    console.log(`${counts.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
    return exitCode;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `failed: FILE: TEST: REASON` of each test that failed, and of each file that could not be loaded. */
function failedLines({ testResults }: z.infer<typeof report>): readonly string[] {
  const isFailed = ({ status }: { status: string }) => status === 'failed';
  const firstLine = (text = '') => text.split('\n', 1)[0] ?? '';
  return testResults.filter(isFailed).flatMap((file) => {
    const tests = file.assertionResults.filter(isFailed);
    if (tests.length === 0) return [`failed: ${file.name}: ${firstLine(file.message)}`];
    return tests.map(
      ({ fullName, failureMessages }) => `failed: ${file.name}: ${fullName}: ${firstLine(failureMessages?.[0])}`,
    );
  });
}

async function vitest(args: readonly string[]): Promise<number> {
  const entry = new URL('../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [entry, ...args], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

const [name = 'default'] = process.argv.slice(2);
if (name !== 'default' && name !== 'system') {
  console.error(`cannot run suite ${name}: want default or system`);
  process.exitCode = 64;
} else {
  process.exitCode = await run(name);
}
