import { join } from 'node:path';
import { run, shell } from '../../vm/shell.ts';
import type { Cache } from '../cache.ts';
import type { Contender } from '../contender.ts';
import type { Content } from '../content.ts';
import type { LoopSlot } from '../loop-slot.ts';
import type { Nginx } from './nginx.ts';
import type { PeerKeys } from './peer-keys.ts';

/** The image as SWUpdate's packages carry it. */
export async function packForSwupdate(cache: Cache, content: Content): Promise<string> {
  return cache.file(`swupdate-${content.sizeBytes}.img.zst`, async (path) => {
    await run('zstd', '-q', '-3', content.file, '-o', path);
  });
}

/** SWUpdate: a raw zstd image that is installed as it comes, CMS over its description, by its own HTTP client. */
export async function swupdate(
  folder: string,
  slot: LoopSlot,
  packed: string,
  keys: PeerKeys,
  server: Nginx,
): Promise<Contender> {
  // The description names the device, so the package is made for each run of the bench.
  await shell(`
    mkdir -p ${folder} && cd ${folder}
    ln -f ${packed} root.img.zst 2>/dev/null || cp ${packed} root.img.zst
    cat > sw-description <<END
software = { version = "1"; hardware-compatibility = [ "1.0" ]; images: ( {
  filename = "root.img.zst"; type = "raw"; compressed = "zstd"; installed-directly = true;
  device = "${slot.device}"; sha256 = "$(sha256sum root.img.zst | cut -d' ' -f1)";
} ); }
END
    openssl cms -sign -in sw-description -out sw-description.sig -signer ${keys.certificate} -inkey ${keys.key} \
      -outform DER -nosmimecap -binary
    printf '%s\\n' sw-description sw-description.sig root.img.zst | cpio --quiet -o -H crc > bench.swu
    rm root.img.zst
  `);
  const download = `-u http://${server.host}/bench.swu`;
  return {
    name: 'swupdate',
    sources: [join(folder, 'bench.swu')],
    daemons: () => [],
    prepare: async () => undefined,
    run: async () => {
      await run('swupdate', '-k', keys.certificate, '-H', 'bench:1.0', '-d', download);
      return {};
    },
    close: async () => undefined,
  };
}
