import fastify, { type FastifyInstance } from 'fastify';
import type { AgentControl } from '../core/control.ts';
import { AgentError, errorTable } from '../core/errors.ts';
import { addEventRoutes } from './event-routes.ts';
import { addNodeRoutes } from './node-routes.ts';
import { problemOf, problemType } from './problems.ts';
import { addStatusRoutes } from './status-routes.ts';
import { addUpdateRoutes } from './update-routes.ts';

/** Largest body of a request. */
export const bodyLimitBytes = 64 * 1024;

/** What the API needs beside the agent's control. */
export interface ApiSettings {
  readonly agentVersion: string;
  /** Tells this start of the agent from all others. */
  readonly startId: string;
  /** Facts of the host for `GET /v1/host` and the status; must answer at once. */
  readonly hostFacts: () => unknown;
  /** Hears of errors that are bugs; the caller is told only that there was one. */
  readonly onBug: (error: unknown) => void;
}

/** The REST API over `control`, not yet listening. */
export function buildServer(control: AgentControl, settings: ApiSettings): FastifyInstance {
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    // Long waits are bounded by the routes; whatever else hangs is cut off.
    requestTimeout: 120_000,
    keepAliveTimeout: 5_000,
    routerOptions: { maxParamLength: 160 },
    forceCloseConnections: true,
    schemaController: { compilersFactory: { buildValidator: withoutSchemas, buildSerializer: withoutSchemas } },
  });
  app.setErrorHandler(async (error, _request, reply) => {
    const problem = problemOf(error);
    if (problem.code === 'internal') settings.onBug(error);
    return reply.code(problem.status).type(problemType).send(problem);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const problem = problemOf(
      new AgentError(
        'resource-not-found',
        `cannot ${request.method} ${request.url.slice(0, 200)}: there is no such resource`,
      ),
    );
    return reply.code(problem.status).type(problemType).send(problem);
  });
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    parseBody(body),
  );
  app.get('/healthz', async () => ({ status: 'alive', agentVersion: settings.agentVersion }));
  app.get('/docs/errors', async (_request, reply) => reply.type('text/plain; charset=utf-8').send(errorsPage()));
  app.get('/v1/host', async () => settings.hostFacts());
  addStatusRoutes(app, control, settings);
  addUpdateRoutes(app, control);
  addNodeRoutes(app, control);
  addEventRoutes(app, control);
  return app;
}

/** Each route checks what it gets by itself: Fastify need not load its two compilers of JSON schemas. */
function withoutSchemas(): never {
  throw new Error('cannot compile a JSON schema: no route of kaon has one');
}

/** A verb may come with no body at all, whatever its content type says. */
function parseBody(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentError('usage-invalid', 'cannot take the body: it is not JSON', { cause });
  }
}

/** The table of codes as text, for a node without a way to the Internet. */
function errorsPage(): string {
  return Object.entries(errorTable)
    .map(
      ([code, { title, fix, httpStatus, exitCode }]) =>
        `${code}\n  ${title}. HTTP ${httpStatus}, exit ${exitCode}.\n  ${fix}\n`,
    )
    .join('\n');
}
