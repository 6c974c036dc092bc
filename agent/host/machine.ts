import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';

/** The kernel's id of this boot. Rejects with `internal` where the kernel does not say it. */
export async function readBootId(path = '/proc/sys/kernel/random/boot_id'): Promise<string> {
  const id = await readId(path, 'the boot id');
  if (!/^[0-9a-f-]{32,36}$/.test(id)) throw new AgentError('internal', `cannot read the boot id: ${path} has no id`);
  return id;
}

/**
 * The node's id, made of the machine id by a keyed hash: machine-id(5) asks not to show the machine id itself to a
 * network. Rejects with `config-invalid`, as the fix is to write an id into the configuration.
 */
export async function readNodeId(path = '/etc/machine-id'): Promise<string> {
  const machineId = await readId(path, 'the machine id');
  if (!/^[0-9a-f]{32}$/.test(machineId)) {
    throw new AgentError('config-invalid', `cannot tell the node's id: ${path} has no machine id; write node.id`);
  }
  return createHmac('sha256', Buffer.from(machineId, 'hex')).update('kaon node id').digest('hex').slice(0, 32);
}

async function readId(path: string, what: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('config-invalid', `cannot read ${what} at ${path}: ${reason}; write node.id`, { cause });
  }
}
