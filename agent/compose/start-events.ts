import type { EventRecord } from '../core/ports.ts';
import type { LoaderTestResult } from '../update/loader-test.ts';
import type { Started } from '../update/start.ts';
import type { AgentParts } from './assemble-agent.ts';

/** What the history tells of the start of an agent. */
export function startEvents(
  { state, snapshot, wasLoaderRepaired, hasLoaderCounted }: Started,
  tested: LoaderTestResult | undefined,
  { clock, faults, agentVersion, bootId }: Pick<AgentParts, 'clock' | 'faults' | 'agentVersion' | 'bootId'>,
): readonly Omit<EventRecord, 'sequence'>[] {
  const atMs = clock.nowMs();
  const event = (kind: string, message: string, details = {}) => ({
    atMs,
    updateId: undefined,
    kind,
    message,
    details,
  });
  return [
    event('agent-started', `kaond ${agentVersion} started`, { bootId }),
    ...(snapshot.rebuiltBecause === undefined ? [] : [event('journal-rebuilt', snapshot.rebuiltBecause)]),
    ...(wasLoaderRepaired
      ? [event('loader-repaired', "the loader's environment could not be read and was made anew")]
      : []),
    ...(hasLoaderCounted === false
      ? [event('loader-not-counting', 'the loader did not count this boot: a trial would never fall back')]
      : []),
    ...(state.phase === 'staged' && state.isRearmed && snapshot.state?.phase !== 'staged'
      ? [event('trial-inconclusive', 'power was lost in every try of the trial: the image is tried once more')]
      : []),
    ...(tested === undefined ? [] : [event('loader-tested', testText(tested))]),
    ...faults.map(({ code, message }) => event('agent-degraded', message, { code })),
  ];
}

function testText(tested: LoaderTestResult): string {
  if ('error' in tested) return `the test of the loader could not be ended: ${tested.error.message}`;
  if (tested.hasCounted === undefined) return 'the test of the loader showed nothing: its state was made anew';
  return tested.hasCounted
    ? 'the test of the loader showed that it writes back'
    : 'the test of the loader showed nothing: it did not write back, or the power went before the reboot';
}
