import type { Command } from 'commander';
import { examine, type Finding, unreachableFinding } from '../doctor.ts';
import { failureOf } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { renderFindings } from '../render-doctor.ts';

/** `doctor`. */
export function addDoctorCommand(program: Command, context: CliContext): void {
  const doctor = addCommand(program, {
    usage: 'doctor',
    description: 'Look at the node for what would keep it from updating or coming back; exit 1 if something fails.',
    examples: ['doctor', 'doctor --json'],
  });
  perform(doctor, context, async (invocation) => {
    const findings = await findingsOf(invocation);
    invocation.print({ findings }, renderFindings(findings));
    return findings.some(({ result }) => result === 'fail') ? 1 : 0;
  });
}

async function findingsOf(invocation: Invocation<object>): Promise<readonly Finding[]> {
  const { io } = invocation;
  try {
    return examine((await invocation.api().status()).value, io.clock.nowMs());
  } catch (error) {
    if (io.interrupted.aborted) throw error;
    return [unreachableFinding(failureOf(error))];
  }
}
