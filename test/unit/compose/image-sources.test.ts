import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
  authHosts: [],
  caFile: undefined,
  clientCertFile: undefined,
  clientKeyFile: undefined,
  isInsecureHttpAllowed: false,
  proxy: undefined,
  noProxy: [],
  mirrors: [],
};

const build = (registry: RegistryConfig = plain) =>
  buildImageSources(
    { registries: { 'registry.acme.io': registry }, registriesConf: join(folder, 'registries.conf') },
    new ManualClock(),
    new SeededRandom(1),
  );

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

  it('refuse a client key that others may read, and take one that its group may', async () => {
    const [clientCertFile, clientKeyFile] = [join(folder, 'node.pem'), join(folder, 'node.key')];
    writeFileSync(clientCertFile, '-----BEGIN CERTIFICATE-----\n');
    writeFileSync(clientKeyFile, '-----BEGIN PRIVATE KEY-----\n', { mode: 0o644 });
    await expect(build({ ...plain, clientCertFile, clientKeyFile })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(/clientKeyFile .*chmod 640/) as string,
    });
    chmodSync(clientKeyFile, 0o640);
    await expect(build({ ...plain, clientCertFile, clientKeyFile })).resolves.toBeDefined();
    await expect(build({ ...plain, clientCertFile: clientKeyFile, clientKeyFile })).rejects.toMatchObject({
      message: expect.stringMatching(/clientCertFile .*no PEM certificate/) as string,
    });
  });

  it('refuse a registries.conf that is no TOML, and name it', async () => {
    writeFileSync(join(folder, 'registries.conf'), '[[registry]\n');
    await expect(build()).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(/registries\.conf/) as string,
    });
  });

  it('do not ask for credentials before they are needed', async () => {
    await expect(build({ ...plain, authFile: join(folder, 'none.json') })).resolves.toBeDefined();
  });
});
