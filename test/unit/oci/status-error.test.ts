import { describe, expect, it } from 'vitest';
import { codeOfStatus, registryErrorCode } from '../../../agent/oci/status-error.ts';

describe('codeOfStatus', () => {
  it.each([
    [401, 'registry-unauthorized'],
    [403, 'registry-unauthorized'],
    [404, 'image-not-found'],
    [408, 'registry-unreachable'],
    [429, 'registry-rate-limited'],
    [500, 'registry-unreachable'],
    [503, 'registry-unreachable'],
    [400, undefined],
    [204, undefined],
    [304, undefined],
  ])('of %i is %s', (status, code) => {
    expect(codeOfStatus(status)).toBe(code);
  });
});

describe('registryErrorCode', () => {
  it.each([
    ['{"errors":[{"code":"MANIFEST_UNKNOWN","message":"secret"}]}', 'MANIFEST_UNKNOWN'],
    ['{"errors":[{"code":"<script>"}]}', undefined],
    ['{"errors":[]}', undefined],
    ['{"errors":{}}', undefined],
    ['<html>', undefined],
    ['null', undefined],
  ])('of %s is %s', (body, code) => {
    expect(registryErrorCode(Buffer.from(body))).toBe(code);
  });
});
