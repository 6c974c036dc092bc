import type { Plugin } from 'rolldown';

const virtualId = '\0lean-fastify:';

/** What Fastify requires once a route has a JSON schema, or once requests are injected without a socket. */
const packages: ReadonlySet<string> = new Set([
  '@fastify/ajv-compiler',
  '@fastify/fast-json-stringify-compiler',
  'light-my-request',
]);

/**
 * Leaves out what kaon never has Fastify do (`agent/api/server.ts`): two compilers of JSON schemas, and the injection of
 * requests in tests. Whoever asks for one of them gets an error that names it.
 */
export const leanFastify: Plugin = {
  name: 'lean-fastify',
  resolveId: (source) => (packages.has(source) ? `${virtualId}${source}` : undefined),
  load: (id) =>
    id.startsWith(virtualId)
      ? `throw new Error('cannot load ${id.slice(virtualId.length)}: it is left out of the built kaon (package/lean-fastify.ts)');\n`
      : undefined,
};
