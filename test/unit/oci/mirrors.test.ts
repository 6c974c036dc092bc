import { describe, expect, it } from 'vitest';
import { type Mirror, placesOf } from '../../../agent/oci/mirrors.ts';

const mirror = (change: Partial<Mirror> = {}): Mirror => ({
  registry: 'cache.test:5000',
  path: '',
  prefix: '',
  isTagged: false,
  ...change,
});
const namesOf = (name: string, ...mirrors: readonly Mirror[]) =>
  placesOf({ registry: 'registry.test', name }, mirrors).map((place) => `${place.registry}/${place.name}`);

describe('the places of an image', () => {
  it('are its mirrors in their order, and then its registry', () => {
    const [one, two] = [mirror(), mirror({ registry: 'far.test', path: 'copies/acme', isTagged: true })];
    expect(placesOf({ registry: 'registry.test', name: 'os/edge' }, [one, two])).toEqual([
      { registry: 'cache.test:5000', name: 'os/edge', isMirror: true, isTagged: false },
      { registry: 'far.test', name: 'copies/acme/os/edge', isMirror: true, isTagged: true },
      { registry: 'registry.test', name: 'os/edge', isMirror: false, isTagged: true },
    ]);
  });

  it('take the path of a mirror in the place of its prefix, by whole components', () => {
    const only = mirror({ prefix: 'os/edge', path: 'copies' });
    expect(namesOf('os/edge/arm', only)).toEqual(['cache.test:5000/copies/arm', 'registry.test/os/edge/arm']);
    expect(namesOf('os/edge', only)).toEqual(['cache.test:5000/copies', 'registry.test/os/edge']);
    for (const name of ['os/edgeless', 'os', 'xos/edge'])
      expect(namesOf(name, only)).toEqual([`registry.test/${name}`]);
  });

  it('leave out a mirror whose repository would have no name', () => {
    expect(namesOf('os', mirror({ prefix: 'os' }))).toEqual(['registry.test/os']);
  });
});
