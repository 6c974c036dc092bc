import type { FastifyInstance } from 'fastify';
import { buildServer as buildApi } from '../api/server.ts';
import type { BootloaderConfig } from '../config/config.ts';
import { AgentError, type ErrorReport } from '../core/errors.ts';
import { verifyTrigger } from '../trust/trigger-envelope.ts';
import { AgentControlService, type ControlPorts } from '../update/agent-control.ts';
import type { Started } from '../update/start.ts';
import type { AgentParts } from './assemble-agent.ts';

/** What a proof that the loader counts is a proof of. */
export function loaderName(bootloader: BootloaderConfig): string {
  return 'dialect' in bootloader ? `${bootloader.type}/${bootloader.dialect}` : bootloader.type;
}

/** What the API asks for, over the parts that `assembleAgent` made. */
export function buildControl(
  parts: AgentParts,
  made: Pick<
    ControlPorts,
    'runner' | 'judge' | 'nodeReader' | 'events' | 'meter' | 'metered' | 'pacer' | 'health' | 'heldReboot' | 'offers'
  >,
  faults: readonly ErrorReport[],
  { hasLoaderCounted }: Started,
): AgentControlService {
  const { state, slots, clock, random, agentVersion, nodeId, config, bootId } = parts;
  return new AgentControlService({
    ...made,
    facts: state.facts,
    journal: state.journal,
    slots,
    clock,
    random,
    verifyTrigger: triggerVerifier(parts),
    agentVersion,
    node: { ...config.node, id: nodeId },
    degraded: faults,
    startedAtMs: clock.nowMs(),
    hasLoaderCounted,
    bootId,
    loader: loaderName(config.bootloader),
  });
}

/** The API over `control`; not yet listening. */
export function buildServer(
  { agentVersion, nodeFacts, random, log }: AgentParts,
  control: AgentControlService,
): FastifyInstance {
  return buildApi(control, {
    agentVersion,
    startId: random.id(),
    hostFacts: () => nodeFacts.read(),
    onBug: (error) => log.error({ err: error }, 'a request failed for a reason that is a bug'),
  });
}

function triggerVerifier({ triggerKeys, nodeId, config }: AgentParts) {
  return (envelope: unknown, lastSequences: Readonly<Record<string, number>>, nowMs: number) => {
    if (triggerKeys.length === 0) {
      throw new AgentError('trigger-untrusted', 'cannot take the trigger: there is no key under triggers.keys');
    }
    const node = { id: nodeId, compatible: config.node.compatible };
    return verifyTrigger({ envelope, keys: triggerKeys, lastSequences, nowMs, node });
  };
}
