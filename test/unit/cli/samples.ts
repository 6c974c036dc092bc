import type { StatusAnswer, UpdateAnswer } from '../../../agent/cli/answers.ts';
import { toWire } from '../../../agent/api/wire.ts';
import type { CurrentUpdate, SlotView, StatusView, UpdateView } from '../../../agent/core/control.ts';
import type { Phase, UpdateRequest } from '../../../agent/core/update-state.ts';

export const digest = `sha256:${'1'.repeat(64)}`;

export const request: UpdateRequest = {
  id: 'u-1',
  kind: 'install',
  image: 'registry.acme.io/os/edge:v2',
  from: undefined,
  until: 'committed',
  requestedAtMs: 1_750_000_000_000,
  requestedBy: 'operator',
};

/** The update of `request` in `phase`, into slot b. */
export function currentIn(phase: Phase, changes: Partial<CurrentUpdate> = {}): CurrentUpdate {
  return {
    request,
    phase,
    target: {
      slot: 'b',
      previous: 'a',
      digest,
      resolvedDigest: digest,
      version: '2',
      rollbackIndex: 0,
      keyIds: ['release-1'],
      rule: 'registry.acme.io/os',
    },
    progress: undefined,
    lastError: undefined,
    ...changes,
  };
}

/** How much of 1000 bytes is written. */
export function written(fetchedBytes: number): CurrentUpdate['progress'] {
  return { step: 'write', partition: 'root', fetchedBytes, layerSizeBytes: 1000, writtenBytes: fetchedBytes };
}

/** What an update moved. */
export const moved = {
  fetchedBytes: 12 * 1024 * 1024,
  keptBytes: 1024 * 1024,
  copiedBytes: 2 * 1024 * 1024,
  writtenBytes: 14 * 1024 * 1024,
  isResumed: true,
} as const;

/** A slot, good unless `changes` say otherwise. */
export function slot(name: 'a' | 'b', changes: Partial<SlotView> = {}): SlotView {
  return {
    name,
    isBooted: name === 'a',
    isPrimary: name === 'a',
    state: 'good',
    loaderState: 'good',
    triesLeft: 3,
    deployment: undefined,
    ...changes,
  };
}

/** A node that is well, on the wire; the compiler holds what kaonctl reads to what kaond sends. */
export function statusAnswer(changes: Partial<StatusView> = {}): StatusAnswer {
  const view: StatusView = {
    agentVersion: '0.1.0',
    nodeId: 'node-1',
    compatible: 'acme-gw-2',
    labels: { site: 'oslo' },
    phase: 'idle',
    booted: 'a',
    primary: 'a',
    slots: [slot('a'), slot('b')],
    current: undefined,
    last: undefined,
    waitingFor: [],
    degraded: [],
    knownBad: [],
    rollbackFloor: 0,
    holdUntil: undefined,
    startedAtMs: 1_750_000_000_000,
    loader: {
      name: 'grub/kaon',
      isProven: true,
      by: 'boot',
      provenAtMs: 1_750_000_000_000,
      isTestPending: false,
      isTestable: true,
      notes: [],
    },
    ...changes,
  };
  return toWire(view);
}

/** The update as its resource shows it. */
export function updateAnswer(changes: Partial<UpdateView> = {}): UpdateAnswer {
  const view: UpdateView = { request, outcome: undefined, phase: 'idle', current: undefined, ...changes };
  return toWire(view);
}
