import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { leanFastify } from '../../../package/lean-fastify.ts';

const server = fileURLToPath(new URL('../../../agent/api/server.ts', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-lean-fastify-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What a program that has the API as `app` says once it is bundled. */
async function outputOf(program: string): Promise<string> {
  const main = join(folder, 'main.js');
  writeFileSync(
    main,
    `import { buildServer } from '${server}';
const app = buildServer({}, { agentVersion: '1', startId: 's', hostFacts: () => ({ cpus: 2 }), onBug: console.error });
${program}`,
  );
  const bundler = await rolldown({ input: main, platform: 'node', plugins: [leanFastify] });
  const file = join(folder, 'out.mjs');
  await bundler.write({ file, format: 'esm' });
  await bundler.close();
  return execFileSync(process.execPath, [file], { encoding: 'utf8' }).trim();
}

it('leaves the API what it needs', async () => {
  const program = `await app.listen({ host: '127.0.0.1', port: 0 });
const { address, port } = app.server.address();
console.log(await (await fetch('http://' + address + ':' + port + '/v1/host')).text());
await app.close();`;
  expect(await outputOf(program)).toBe('{"cpus":2}');
});

it('says by name what it left out', async () => {
  const program = "try { app.inject('/v1/host'); } catch ({ message }) { console.log(message); }";
  expect(await outputOf(program)).toContain('cannot load light-my-request: it is left out of the built kaon');
});
