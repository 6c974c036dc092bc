import { describe, expect, it } from 'vitest';
import { isMeteredAsked, meteredObjection } from '../../../agent/core/metered.ts';
import { update } from './samples.ts';

const need = (fetchedBytes: number, missingBytes: number) => ({ fetchedBytes, missingBytes, imageBytes: 1000 });
const noLimit = { rule: 'wait', limitBytes: undefined } as const;

describe('the rule for metered links', () => {
  it.each([
    [0, 0, false],
    [0, 900, false],
    [0, 901, true],
    [500, 400, false],
    [500, 401, true],
    // Nothing is left to fetch: there is nothing to wait for.
    [2000, 0, false],
  ])('without a limit: %d bytes fetched and %d missing of 1000 are a whole image: %s', (fetched, missing, isWhole) => {
    expect(meteredObjection(noLimit, need(fetched, missing)) !== undefined).toBe(isWhole);
  });

  it.each([
    [0, 100, false],
    [0, 101, true],
    [800, 100, false],
  ])('with a limit of 100: %d bytes fetched and %d missing are too much: %s', (fetched, missing, isTooMuch) => {
    expect(meteredObjection({ rule: 'fail', limitBytes: 100 }, need(fetched, missing)) !== undefined).toBe(isTooMuch);
  });

  it('is not asked where anything may be fetched, nor of an offline source, nor once an operator allowed it', () => {
    expect(isMeteredAsked(noLimit, update)).toBe(true);
    expect(isMeteredAsked({ ...noLimit, rule: 'full' }, update)).toBe(false);
    expect(isMeteredAsked(noLimit, { ...update, from: 'oci:/media/usb' })).toBe(false);
    expect(isMeteredAsked(noLimit, { ...update, isMeteredAllowed: true })).toBe(false);
  });
});
