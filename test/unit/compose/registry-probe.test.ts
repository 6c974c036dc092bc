import { describe, expect, it } from 'vitest';
import { UpdateRegistryProbe } from '../../../agent/compose/registry-probe.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import type { ImageSource, ResolvedImage } from '../../../agent/core/ports.ts';
import type { UpdateState } from '../../../agent/core/update-state.ts';
import { stateNamed } from '../core/samples.ts';

const never = new AbortController().signal;

function probe(resolve: () => Promise<unknown>, state: UpdateState = stateNamed('trial')) {
  const asked: string[] = [];
  const source: Pick<ImageSource, 'resolve'> = {
    resolve: async ({ repository }) => {
      asked.push(repository);
      return (await resolve()) as ResolvedImage;
    },
  };
  const found = new UpdateRegistryProbe(
    () => source as ImageSource,
    () => state,
  ).probe(never);
  return { asked, found };
}

describe('the probe of the registry', () => {
  it('asks for the image of the update that is under way', async () => {
    const { asked, found } = probe(async () => undefined);
    expect(await found).toMatchObject({ kind: 'reached' });
    expect(asked).toHaveLength(1);
  });

  it('tells a node without a way from a registry that is silent', async () => {
    const fail = (reason: string) => async () => {
      throw new AgentError('registry-unreachable', `cannot reach it: ${reason}`, { details: { reason } });
    };
    expect(await probe(fail('ENETUNREACH')).found).toMatchObject({ kind: 'cut-off' });
    expect(await probe(fail('ETIMEDOUT')).found).toMatchObject({ kind: 'silent' });
  });

  it('asks nobody for an update that came from an archive, or without one', async () => {
    const trial = stateNamed('trial');
    if (trial.phase !== 'trial') throw new Error('no trial');
    const offline = { ...trial, update: { ...trial.update, from: 'oci-archive:/media/v2.tar' } };
    for (const state of [offline, stateNamed('idle')]) {
      const { asked, found } = probe(async () => undefined, state);
      expect(await found).toMatchObject({ kind: 'not-asked' });
      expect(asked).toEqual([]);
    }
  });
});
