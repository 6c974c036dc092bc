import type { FastifyInstance } from 'fastify';
import type { AgentControl } from '../core/control.ts';
import { AgentError } from '../core/errors.ts';
import { digestParams, emptyBody, holdBody, parseRequest, rateLimitBody, slotParams } from './requests.ts';
import { toWire } from './wire.ts';

/** What an operator or a controller may do to the node itself. */
export function addNodeRoutes(app: FastifyInstance, control: AgentControl): void {
  app.post('/v1/slots/:slot/mark-good', async (request, reply) => {
    const { slot } = parseRequest(slotParams, request.params, 'path');
    parseRequest(emptyBody, request.body, 'body');
    await control.markGood(slot);
    return reply.code(204).send();
  });

  app.post('/v1/slots/:slot/mark-bad', async (request, reply) => {
    const { slot } = parseRequest(slotParams, request.params, 'path');
    parseRequest(emptyBody, request.body, 'body');
    await control.markBad(slot);
    return reply.code(204).send();
  });

  app.get('/v1/known-bad', async () => toWire((await control.status()).knownBad));

  app.get('/v1/known-bad/:digest', async (request) => {
    const { digest } = parseRequest(digestParams, request.params, 'path');
    const found = (await control.status()).knownBad.find((entry) => entry.digest === digest);
    if (found === undefined) throw notKnownBad(digest);
    return toWire(found);
  });

  app.delete('/v1/known-bad/:digest', async (request, reply) => {
    const { digest } = parseRequest(digestParams, request.params, 'path');
    if (!(await control.clearKnownBad(digest))) throw notKnownBad(digest);
    return reply.code(204).send();
  });

  app.post('/v1/triggers', async (request, reply) => {
    const accepted = await control.trigger(request.body);
    return reply.code(202).header('location', `/v1/updates/${accepted.updateId}`).send(accepted);
  });

  app.post('/v1/reboot', async (request, reply) => {
    parseRequest(emptyBody, request.body, 'body');
    const heldBy = await control.reboot();
    return reply.code(202).send(heldBy === undefined ? {} : { heldBy });
  });

  app.post('/v1/loader-test', async (request, reply) => {
    parseRequest(emptyBody, request.body, 'body');
    await control.testLoader();
    return reply.code(202).send({});
  });

  app.post('/v1/facts/confirm', async (request, reply) => {
    parseRequest(emptyBody, request.body, 'body');
    await control.confirmFacts();
    return reply.code(204).send();
  });

  addHoldRoutes(app, control);
  addRateLimitRoutes(app, control);
}

function addHoldRoutes(app: FastifyInstance, control: AgentControl): void {
  app.get('/v1/hold', async () => ({ hold: toWire(control.hold() ?? null) }));

  app.put('/v1/hold', async (request, reply) => {
    const { reason, until } = parseRequest(holdBody, request.body, 'body');
    await control.setHold(reason, until === undefined ? undefined : Date.parse(until));
    return reply.code(204).send();
  });

  app.delete('/v1/hold', async (_request, reply) => {
    await control.clearHold();
    return reply.code(204).send();
  });
}

function addRateLimitRoutes(app: FastifyInstance, control: AgentControl): void {
  app.get('/v1/rate-limit', async () => control.rateLimit());

  app.put('/v1/rate-limit', async (request, reply) => {
    const { bytesPerSecond } = parseRequest(rateLimitBody, request.body, 'body');
    await control.setRateLimit(bytesPerSecond);
    return reply.code(204).send();
  });

  app.delete('/v1/rate-limit', async (_request, reply) => {
    await control.clearRateLimit();
    return reply.code(204).send();
  });
}

function notKnownBad(digest: string): AgentError {
  return new AgentError('resource-not-found', `cannot find ${digest}: it is not known to be bad`);
}
