import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../agent/core/errors.ts';
import { reachOf } from '../../../agent/core/registry-reach.ts';

function kindOf(code: ErrorCode, reason?: string) {
  return reachOf({ code, message: 'cannot reach registry.acme.io' }, reason).kind;
}

describe('what a failed question to a registry means', () => {
  it.each(['image-not-found', 'registry-rate-limited'] as const)('%s is an answer', (code) => {
    expect(kindOf(code)).toBe('reached');
  });

  it.each(['ENETUNREACH', 'EAI_AGAIN', 'EPERM', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_NOT_YET_VALID'])(
    '%s lies on this node',
    (reason) => {
      expect(kindOf('registry-unreachable', reason)).toBe('cut-off');
    },
  );

  it('credentials or a CA that cannot be read lie on this node', () => {
    expect(kindOf('config-invalid')).toBe('cut-off');
  });

  it.each([
    ['registry-unreachable', 'ETIMEDOUT'],
    ['registry-unreachable', 'ECONNREFUSED'],
    ['registry-unreachable', 'ECONNRESET'],
    ['registry-unreachable', 'ENOTFOUND'],
    ['registry-unreachable', 'CERT_HAS_EXPIRED'],
    ['registry-unreachable', undefined],
    ['registry-unauthorized', undefined],
    ['registry-protocol-invalid', undefined],
    ['download-truncated', undefined],
    ['internal', undefined],
  ] as const)('%s by %s looks like an outage as well', (code, reason) => {
    expect(kindOf(code, reason)).toBe('silent');
  });
});
