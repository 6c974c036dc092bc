import { describe, expect, it } from 'vitest';
import { parseOfflineLocation } from '../../../agent/oci/offline-location.ts';

describe('parseOfflineLocation', () => {
  it.each([
    ['oci:/media/usb', { kind: 'layout', path: '/media/usb', refName: undefined }],
    ['oci:image:v1', { kind: 'layout', path: 'image', refName: 'v1' }],
    ['oci:image:registry.test:5000/os:v1', { kind: 'layout', path: 'image', refName: 'registry.test:5000/os:v1' }],
    ['oci-archive:/a b.tar:v1', { kind: 'archive', path: '/a b.tar', refName: 'v1' }],
  ])('reads %s', (text, expected) => {
    expect(parseOfflineLocation(text)).toEqual(expected);
  });

  it.each(['', 'oci:', 'oci::v1', 'oci:dir:', 'dir:/x', '/x', 'docker://x', 'oci:a\0b', `oci:${'x'.repeat(5000)}`])(
    'refuses %j and names the form',
    (text) => {
      expect(() => parseOfflineLocation(text)).toThrow(expect.objectContaining({ code: 'usage-invalid' }));
      expect(() => parseOfflineLocation(text)).toThrow(/oci:DIR/);
    },
  );
});
