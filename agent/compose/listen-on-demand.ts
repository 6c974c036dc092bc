import { chmod, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { AgentError } from '../core/errors.ts';
import { listenSockets } from '../systemd/listen-fds.ts';

/**
 * Lets `server` listen at `path` (mode 0660), or without it on the socket that systemd passes under `socketName`. Rejects with
 * `usage-invalid` where there is neither, and with the error of the system.
 */
export async function listenOnDemand(server: Server, path: string | undefined, socketName: string): Promise<void> {
  const passed = listenSockets(process.env, process.pid);
  const descriptor = (passed.find(({ name }) => name === socketName) ?? passed[0])?.descriptor;
  if (path === undefined && descriptor === undefined) {
    throw new AgentError('usage-invalid', 'cannot listen: systemd passed no socket and there is no --listen PATH');
  }
  // A socket that a killed process left behind would be in the way.
  if (path !== undefined) await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path === undefined ? { fd: descriptor } : { path }, resolve);
  });
  if (path !== undefined) await chmod(path, 0o660);
}
