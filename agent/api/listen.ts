import { chmod, lstat, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { AgentError } from '../core/errors.ts';

/**
 * Listens on the unix socket at `path`, mode 0660. A socket that a killed agent left behind is removed; one that somebody
 * answers on is not. Rejects with `config-invalid`.
 */
export async function listenOnSocket(app: FastifyInstance, path: string): Promise<void> {
  try {
    await removeStale(path);
    await app.listen({ path });
    await chmod(path, 0o660);
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError(
      'config-invalid',
      `cannot listen at ${path}: ${reason}; api.socket must be in a directory that exists`,
      { cause },
    );
  }
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket())
    throw new AgentError('config-invalid', `cannot listen at ${path}: there is a file that is no socket`);
  if (await answers(path))
    throw new AgentError('config-invalid', `cannot listen at ${path}: another agent answers there`, {
      details: { isTaken: true },
    });
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
