import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';

/**
 * Makes sure that the state directory at `path` exists (mode 0750), can be written, and lies on none of `slotDevices`
 * (device numbers as `stat` gives them in `dev` and `rdev`): what lies on a slot is lost with the next update.
 * Rejects with `state-dir-invalid`.
 */
export async function prepareStateDirectory(path: string, slotDevices: readonly number[]): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o750 });
    const found = await stat(path);
    if (slotDevices.includes(found.dev)) {
      throw invalid(path, 'it lies on a slot, and would be lost with the next update', { device: found.dev });
    }
    await writeProbe(path);
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw invalid(path, cause instanceof Error ? cause.message : String(cause), {}, cause);
  }
}

async function writeProbe(path: string): Promise<void> {
  const probe = join(path, `.probe-${randomUUID()}`);
  const handle = await open(probe, 'wx', 0o600);
  try {
    await handle.write('probe');
    await handle.sync();
  } finally {
    await handle.close();
    await rm(probe, { force: true });
  }
}

function invalid(path: string, reason: string, details: Record<string, unknown>, cause?: unknown): AgentError {
  return new AgentError('state-dir-invalid', `cannot use the state directory ${path}: ${reason}`, {
    details: { path, ...details },
    ...(cause === undefined ? {} : { cause }),
  });
}
