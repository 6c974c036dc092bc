import type { Command } from 'commander';
import { nodeConfigFile } from '../../config/config-files.ts';
import type { StatusAnswer } from '../answers.ts';
import { examine, type Finding, unreachableFinding } from '../doctor.ts';
import { examineNode } from '../doctor-node.ts';
import { failureOf } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { renderFindings } from '../render-doctor.ts';

interface DoctorOptions {
  readonly config: string;
}

/** `doctor`. */
export function addDoctorCommand(program: Command, context: CliContext): void {
  const doctor = addCommand(program, {
    usage: 'doctor',
    description:
      'Look at the node for what would keep it from updating or coming back, and say the fix; exit 1 if something fails, for monitoring.',
    examples: ['doctor', 'doctor --json', 'doctor --config ./kaon.yaml'],
  }).option('--config <file>', "the node's configuration", nodeConfigFile);
  perform<DoctorOptions>(doctor, context, async (invocation) => {
    const findings = await findingsOf(invocation);
    invocation.print({ findings }, renderFindings(findings));
    return findings.some(({ result }) => result === 'fail') ? 1 : 0;
  });
}

async function findingsOf(invocation: Invocation<DoctorOptions>): Promise<readonly Finding[]> {
  const { io, deps, options } = invocation;
  const status = await statusOf(invocation);
  const known = 'error' in status ? undefined : status;
  const image = known?.slots.find(({ isBooted }) => isBooted)?.deployment?.image;
  const node = await deps.inspectNode({ configFile: options.config, image }, io.interrupted);
  const fromAgent =
    'error' in status ? [unreachableFinding(failureOf(status.error))] : examine(status, io.clock.nowMs());
  return [...fromAgent, ...examineNode(node)];
}

async function statusOf(invocation: Invocation<DoctorOptions>): Promise<StatusAnswer | { readonly error: unknown }> {
  try {
    return (await invocation.api().status()).value;
  } catch (error) {
    if (invocation.io.interrupted.aborted) throw error;
    return { error };
  }
}
