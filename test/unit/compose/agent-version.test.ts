import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readAgentVersion } from '../../../agent/compose/agent-version.ts';

it("the agent's version is that of package.json", () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const program = new URL('../../../agent/kaond.ts', import.meta.url).href;
  expect(readAgentVersion(program)).toBe(version);
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
});
