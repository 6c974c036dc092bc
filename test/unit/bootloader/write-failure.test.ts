import { describe, expect, it } from 'vitest';
import { writeFailureCode } from '../../../bootloader/errors.ts';

describe('a write that failed', () => {
  it.each([
    ['EROFS', 'boot-partition-read-only'],
    ['ENOSPC', 'boot-env-write-failed'],
    ['EIO', 'boot-env-write-failed'],
  ])('by %s is %s', (errno, code) => {
    expect(writeFailureCode(Object.assign(new Error(errno), { code: errno }))).toBe(code);
  });

  it('by what is no errno is no more than failed', () => {
    expect(writeFailureCode('x')).toBe('boot-env-write-failed');
    expect(writeFailureCode(new Error('it has 5 bytes'))).toBe('boot-env-write-failed');
  });
});
