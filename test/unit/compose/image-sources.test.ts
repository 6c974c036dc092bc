import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildImageSources } from '../../../agent/compose/image-sources.ts';
import type { RegistryConfig } from '../../../agent/config/config.ts';
import { LayoutImageSource } from '../../../agent/oci/layout-source.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-sources-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const plain: RegistryConfig = {
  authFile: undefined,
  caFile: undefined,
  isInsecureHttpAllowed: false,
  proxy: undefined,
};

const build = (registry: RegistryConfig = plain) =>
  buildImageSources({ 'registry.acme.io': registry }, new ManualClock(), new SeededRandom(1));

describe('the sources of images', () => {
  it('are the registries, or the archive or layout that is named', async () => {
    const sources = await build();
    expect(sources(undefined)).toBeInstanceOf(RegistryImageSource);
    expect(sources(`oci-archive:${folder}/image.tar`)).toBeInstanceOf(LayoutImageSource);
    expect(sources(`oci:${folder}`)).toBeInstanceOf(LayoutImageSource);
  });

  it.each([
    ['missing', () => undefined, 'ENOENT'],
    ['no certificate', (path: string) => writeFileSync(path, 'hello'), 'no PEM certificate'],
  ])('refuse a caFile that is %s, and name its setting', async (_what, make, reason) => {
    const caFile = join(folder, 'ca.pem');
    make(caFile);
    const message = new RegExp(`registries\\.registry\\.acme\\.io\\.caFile .*ca\\.pem.*${reason}`);
    await expect(build({ ...plain, caFile })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(message) as string,
    });
  });

  it('do not ask for credentials before they are needed', async () => {
    await expect(build({ ...plain, authFile: join(folder, 'none.json') })).resolves.toBeDefined();
  });
});
