import type { Plugin } from 'rolldown';

const virtualId = '\0lean-http';

/** What programs use of `node:http`, but for what Node takes from its fetch: `CloseEvent`, `MessageEvent`, `WebSocket`. */
const names = [
  ...['Agent', 'ClientRequest', 'IncomingMessage', 'METHODS', 'OutgoingMessage', 'STATUS_CODES', 'Server'],
  ...['ServerResponse', 'createServer', 'get', 'globalAgent', 'maxHeaderSize', 'request'],
  ...['validateHeaderName', 'validateHeaderValue'],
];

/**
 * Gives modules that import `node:http` an object without getters. To link such an import, Node reads each of its names, and
 * those of fetch load all of its undici: memory, and time at each start.
 */
export const leanHttp: Plugin = {
  name: 'lean-http',
  resolveId: (source, _importer, { kind }) =>
    kind === 'import-statement' && /^(node:)?http$/.test(source) ? virtualId : undefined,
  load: (id) =>
    id === virtualId
      ? `const http = process.getBuiltinModule('node:http');\nexport default http;\nexport const { ${names.join(', ')} } = http;\n`
      : undefined,
};
