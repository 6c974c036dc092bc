import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two cores: more forks only fight for them.
    maxWorkers: 2,
    // A test that hangs has to end; how fast the machine is must decide nothing.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    projects: ['unit', 'contract', 'crash', 'integration', 'demo', 'system'].map((name) => ({
      extends: true,
      test: { name, include: [`test/${name}/**/*.test.ts`] },
    })),
  },
});
