import type { FastifyInstance } from 'fastify';
import type { AgentControl } from '../core/control.ts';
import { AgentError } from '../core/errors.ts';
import {
  activateBody,
  emptyBody,
  idParams,
  pageQuery,
  parseRequest,
  planBody,
  resumeBody,
  updateBody,
} from './requests.ts';
import { closedSignal } from './status-routes.ts';
import { toWire } from './wire.ts';

const maxKeyLength = 128;

/** Plans, updates and rollbacks. */
export function addUpdateRoutes(app: FastifyInstance, control: AgentControl): void {
  app.post('/v1/plans', async (request) => {
    const { image, from } = parseRequest(planBody, request.body, 'body');
    const input = { image, from, until: 'committed', requestedBy: 'operator' } as const;
    return toWire(await control.plan(input, closedSignal(request.raw)));
  });

  app.post('/v1/updates', async (request, reply) => {
    const { image, from, until, downgradeReason, metered } = parseRequest(updateBody, request.body, 'body');
    const key = keyOf(request.headers['idempotency-key']);
    const allowed = {
      ...(downgradeReason === undefined ? {} : { downgradeReason }),
      ...(metered ? { isMeteredAllowed: true } : {}),
    };
    const accepted = await control.startUpdate({ image, from, until, requestedBy: 'operator', ...allowed }, key);
    return reply.code(202).header('location', `/v1/updates/${accepted.updateId}`).send(accepted);
  });

  app.get('/v1/updates', async (request) => {
    const { limit, before } = parseRequest(pageQuery, request.query, 'query');
    return toWire(await control.updates(limit, before));
  });

  app.get('/v1/updates/:id', async (request) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    return toWire(await control.update(id));
  });

  app.post('/v1/updates/:id/activate', async (request, reply) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    const { reboot } = parseRequest(activateBody, request.body, 'body');
    await control.activate(id, reboot);
    return reply.code(202).send({ updateId: id });
  });

  app.post('/v1/updates/:id/pause', async (request, reply) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    parseRequest(emptyBody, request.body, 'body');
    await control.pause(id);
    return reply.code(202).send({ updateId: id });
  });

  app.post('/v1/updates/:id/resume', async (request, reply) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    const { metered } = parseRequest(resumeBody, request.body, 'body');
    await control.resume(id, metered);
    return reply.code(202).send({ updateId: id });
  });

  app.post('/v1/updates/:id/cancel', async (request, reply) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    parseRequest(emptyBody, request.body, 'body');
    await control.cancel(id);
    return reply.code(202).send({ updateId: id });
  });

  addRollbackRoutes(app, control);
}

function addRollbackRoutes(app: FastifyInstance, control: AgentControl): void {
  app.post('/v1/rollbacks', async (request, reply) => {
    parseRequest(emptyBody, request.body, 'body');
    const accepted = await control.startRollback(keyOf(request.headers['idempotency-key']));
    return reply.code(202).header('location', `/v1/updates/${accepted.updateId}`).send(accepted);
  });

  app.get('/v1/rollbacks', async (request) => {
    const { limit } = parseRequest(pageQuery, request.query, 'query');
    return toWire(await control.rollbacks(limit));
  });

  app.get('/v1/rollbacks/:id', async (request) => {
    const { id } = parseRequest(idParams, request.params, 'path');
    const record = await control.rollback(id);
    if (record === undefined) {
      throw new AgentError('update-not-found', `cannot show rollback ${id}: there is none with this id`);
    }
    return toWire(record);
  });
}

function keyOf(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header !== 'string' || header === '' || header.length > maxKeyLength) {
    throw new AgentError(
      'usage-invalid',
      `cannot take the request: Idempotency-Key: want 1 to ${maxKeyLength} characters`,
      {
        details: { field: 'Idempotency-Key' },
      },
    );
  }
  return header;
}
