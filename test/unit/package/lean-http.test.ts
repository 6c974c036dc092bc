import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { leanHttp } from '../../../package/lean-http.ts';

const program = `import http, { Agent, request } from 'node:http';
import { required } from './required.cjs';
const all = [http.createServer, Agent, request, required.get].map((one) => typeof one);
console.log([...all, process.moduleLoadList.some((name) => name.endsWith('undici/undici'))].join());
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-lean-http-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What the program says once it is bundled. */
async function outputWith(plugins: readonly (typeof leanHttp)[]): Promise<string> {
  writeFileSync(join(folder, 'main.js'), program);
  writeFileSync(join(folder, 'required.cjs'), "exports.required = require('http');\n");
  const bundler = await rolldown({ input: join(folder, 'main.js'), platform: 'node', plugins: [...plugins] });
  const file = join(folder, 'out.mjs');
  await bundler.write({ file, format: 'esm' });
  await bundler.close();
  return execFileSync(process.execPath, [file], { encoding: 'utf8' }).trim();
}

it('gives a bundled program all of node:http that it uses, without undici', async () => {
  expect(await outputWith([leanHttp])).toBe('function,function,function,function,false');
});

it('is needed as long as Node loads undici for whoever imports node:http', async () => {
  expect(await outputWith([])).toBe('function,function,function,function,true');
});
