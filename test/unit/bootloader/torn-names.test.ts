import { describe, expect, it } from 'vitest';
import { isTornNameOf, looksTorn } from '../../../bootloader/torn-names.ts';

describe('isTornNameOf', () => {
  // The short names that mtools gives such long ones, one after the other in one folder.
  it.each([
    ['kaon-b', 'efi', 'KAON-B~1.EFI'],
    ['kaon-b', 'efi', 'kaon-b~2.efi'],
    ['kaon-b', 'conf', 'KAON-B~1.CON'],
    ['kaon-b', 'staged', 'KAON-B~1.STA'],
    ['k-b', 'efi', 'K-B_3-~1.EFI'],
    ['k.os-b', 'conf', 'KOS-B~1.CON'],
  ])('knows what is left of a name of %s in .%s: %s', (id, extension, file) => {
    expect(isTornNameOf(id, extension, file)).toBe(true);
  });

  it.each([
    ['the other slot', 'kaon-b', 'efi', 'KAON-A~1.EFI'],
    ['another kind of file', 'kaon-b', 'efi', 'KAON-B~1.TMP'],
    ['a whole name', 'kaon-b', 'efi', 'kaon-b.efi'],
    ['the canary', 'k-a', 'conf', 'K-CANA~1.CON'],
    ['a name that six characters do not tell from the other slot’s', 'acme-gw-b', 'efi', 'ACME-G~1.EFI'],
  ])('leaves alone %s', (_, id, extension, file) => {
    expect(isTornNameOf(id, extension, file)).toBe(false);
  });
});

describe('looksTorn', () => {
  it('knows a short name with a tail, and no other', () => {
    expect(['ACME-G~1.EFI', 'x~9', 'acme.efi', 'acme-gateway~1.efi', 'a~b.efi'].map(looksTorn)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
