import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two cores: more forks only fight for them.
    maxWorkers: 2,
    testTimeout: 20_000,
    projects: ['unit', 'contract', 'crash', 'integration', 'demo', 'system'].map((name) => ({
      extends: true,
      test: { name, include: [`test/${name}/**/*.test.ts`] },
    })),
  },
});
