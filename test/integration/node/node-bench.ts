import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../../agent/cli/program.ts';
import { SystemClock } from '../../../agent/host/system-clock.ts';
import { SystemRandom } from '../../../agent/host/system-random.ts';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { BootFolder } from '../../fakes/boot-folder.ts';
import { bootGrub } from '../../fakes/grub-firmware.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import {
  fillRegistry,
  patternBytes,
  sha256,
  signatureLayer,
  signatureObject,
  toManifest,
} from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { SimulatedNode, until } from '../../fakes/simulated-node.ts';
import { mountRoot } from '../../fakes/slot-root.ts';
import { startEntry } from '../../fakes/systemd-boot-firmware.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';

export const slotBytes = 256 * 1024;

/** What an image of the tests differs in. */
export interface ImageTraits {
  /** `os/edge` unless given. */
  readonly repository?: string;
  readonly compatible?: string;
  readonly contentBytes?: number;
  readonly seed?: number;
  /** In place of a pattern. */
  readonly content?: Buffer;
  readonly rollbackIndex?: number;
  /** What the signed config says of the content's size; `undefined`: what it is; `none`: neither size nor digest. */
  readonly statedBytes?: number | 'none';
  /** Who signs, and what. */
  readonly signer?: TestSigner | 'nobody';
  readonly signedDigest?: string;
}

/** An image in the embedded registry. */
export interface PushedImage {
  readonly reference: string;
  readonly tag: string;
  readonly digest: string;
  readonly layer: { readonly digest: string; readonly bytes: Buffer };
  readonly content: Buffer;
}

interface LayerOfInspect {
  readonly layerDigest: string;
}

/** The types of systemd-boot's entries. */
export type BootEntries = 'type1' | 'type2';

/** A node with file slots and a registry in this process; its agent runs for real. */
export class NodeBench {
  readonly node: SimulatedNode;
  readonly folder: string;
  readonly registry: EmbeddedRegistry;
  readonly release: TestSigner = makeSigner('ed25519');
  readonly stranger: TestSigner = makeSigner('ed25519');
  /** The slots whose system panics before it has a userspace. */
  readonly panicking = new Set<'a' | 'b'>();
  /** What systemd-boot started in each boot, with all its bytes. */
  readonly startedKernels: string[] = [];
  readonly #entries: BootEntries | undefined;
  #images = 0;

  private constructor(folder: string, registry: EmbeddedRegistry, entries: BootEntries | undefined) {
    this.folder = folder;
    this.#entries = entries;
    this.registry = registry;
    this.node = new SimulatedNode({
      folder,
      firmware: () => this.#startFirmware(),
      systemIn: async (slot) => {
        await mountRoot(await this.slot(slot), this.root);
        return { version: `what is in ${slot}`, staysUp: !this.panicking.has(slot) };
      },
      agentOptions: ['--allow-file-slots'],
      imageConfig: join(this.root, 'usr/lib/kaon/kaon.yaml'),
    });
  }

  /** Where the root of the slot that runs is mounted, if the slot holds one (`rootContent`). */
  get root(): string {
    return join(this.folder, 'root');
  }

  /** With `entries` its loader is systemd-boot over a folder, which starts `kernel` of slot a; else GRUB. */
  static async open(entries?: BootEntries, kernel = ''): Promise<NodeBench> {
    const folder = await mkdtemp(join(tmpdir(), 'kaon-node-'));
    const bench = new NodeBench(folder, await startRegistry(), entries);
    await bench.node.provision(bench.config());
    await writeFile(join(folder, 'release.pub'), bench.release.publicPem);
    await writeFile(join(folder, 'slot-a.img'), patternBytes(slotBytes, 77));
    await writeFile(join(folder, 'slot-b.img'), patternBytes(slotBytes, 78));
    const variables = 'ORDER=A B\nA_OK=1\nA_LEFT=4\nB_OK=0\nB_LEFT=0\nkaon_trial=-\nkaon_tries=0\n';
    await writeFile(join(folder, 'grubenv'), `# GRUB Environment Block\n${variables}`.padEnd(1024, '#'), 'latin1');
    if (entries === 'type2') bench.esp.put('EFI/Linux/kaon-a.efi', kernel);
    if (entries === 'type1') {
      bench.esp.put('kaon/a/factory', kernel);
      bench.esp.put('loader/entries/kaon-a.conf', 'sort-key kaon\nversion 1\nlinux /kaon/a/factory\n');
    }
    return bench;
  }

  /** The boot partition of a node with systemd-boot. */
  get esp(): BootFolder {
    return new BootFolder(join(this.folder, 'esp'));
  }

  /** The configuration, with `changes` made to its text. */
  config(changes: readonly (readonly [from: string, to: string])[] = []): string {
    const text = `formatVersion: 1
node: { id: bench, compatible: board-1 }
stateDir: ${this.folder}/state
slots:
  a: { bootName: A, partitions: { root: { device: ${this.folder}/slot-a.img, kind: file } } }
  b: { bootName: B, partitions: { root: { device: ${this.folder}/slot-b.img, kind: file } } }
bootloader: ${
      this.#entries === undefined
        ? `{ type: grub, environment: ${this.folder}/grubenv, tries: 4 }`
        : `{ type: systemd-boot, esp: { path: ${this.folder}/esp }, entries: ${this.#entries}, tries: 4 }`
    }
trust:
  keys: { release: { file: ${this.folder}/release.pub } }
  rules: [{ prefix: "${this.registry.host}/os", require: { keys: [release] } }]
registries: { "${this.registry.host}": { insecureHttp: true } }
update: { retry: { attempts: 1 } }
api: { socket: ${this.folder}/run/kaon.sock }
`;
    return changes.reduce((changed, [from, to]) => {
      if (!changed.includes(from)) throw new Error(`the configuration has no ${from}`);
      return changed.replace(from, to);
    }, text);
  }

  /** The loader's rules over what it keeps. */
  async #startFirmware(): Promise<'a' | 'b'> {
    if (this.#entries !== undefined) return this.#startSystemdBoot();
    const environment = join(this.folder, 'grubenv');
    const script = { dialect: 'kaon', names: ['A', 'B'], full: 4 } as const;
    const { started, block } = bootGrub(script, await readFile(environment));
    await writeFile(environment, block, { flag: 'r+' });
    return started === 'B' ? 'b' : 'a';
  }

  #startSystemdBoot(): 'a' | 'b' {
    const { path = '', keys } = startEntry(this.esp) ?? {};
    const kernel = path.endsWith('.efi') ? path : (keys?.get('linux') ?? '').slice(1);
    this.startedKernels.push(this.esp.textOf(kernel));
    const [, slot] = /^(?:EFI\/Linux\/kaon-|kaon\/)([ab])/.exec(kernel) ?? [];
    if (slot !== 'a' && slot !== 'b') throw new Error(`the loader has nothing to start in ${this.esp.paths.join(' ')}`);
    return slot;
  }

  /** Changes one variable of the loader behind the agent's back. */
  async setLoader(name: string, value: string): Promise<void> {
    const path = join(this.folder, 'grubenv');
    const text = await readFile(path, 'latin1');
    await writeFile(path, text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`), {
      encoding: 'latin1',
      flag: 'r+',
    });
  }

  /** Starts the agent and waits until it answers. */
  async powerOn(): Promise<void> {
    await this.node.powerOn();
    await this.agentUp();
  }

  async agentUp(): Promise<void> {
    await until('the agent', 60_000, () => this.node.read('/healthz'));
  }

  async close(): Promise<void> {
    await this.node.powerOff();
    await this.registry.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Pushes an image of one gzip-free, raw layer, and its signature. */
  push(traits: ImageTraits = {}): PushedImage {
    this.#images += 1;
    const repository = traits.repository ?? 'os/edge';
    const tag = `v${this.#images}`;
    const content = traits.content ?? patternBytes(traits.contentBytes ?? slotBytes / 2, traits.seed ?? this.#images);
    const layer = { digest: sha256(content), bytes: content };
    const stated = traits.statedBytes ?? content.byteLength;
    const config = Buffer.from(
      JSON.stringify({
        formatVersion: 1,
        name: 'edge',
        version: tag,
        compatible: [traits.compatible ?? 'board-1'],
        rollbackIndex: traits.rollbackIndex ?? 0,
        partitions: [
          {
            name: 'root',
            layer: layer.digest,
            ...(stated === 'none' ? {} : { digest: layer.digest, sizeBytes: stated }),
          },
        ],
      }),
    );
    const manifest = toManifest(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        artifactType: mediaTypes.kaonArtifact,
        config: { mediaType: mediaTypes.kaonConfig, digest: sha256(config), size: config.byteLength },
        layers: [{ mediaType: mediaTypes.kaonPartition, digest: layer.digest, size: content.byteLength }],
      },
      mediaTypes.ociManifest,
      [tag],
    );
    const blobs = [layer, { digest: sha256(config), bytes: config }];
    fillRegistry(this.registry.content, repository, [{ manifests: [manifest], blobs }]);
    const signer = traits.signer ?? this.release;
    if (signer !== 'nobody') this.sign(manifest.digest, signer, traits.signedDigest);
    return { reference: `${this.registry.host}/${repository}:${tag}`, tag, digest: manifest.digest, layer, content };
  }

  /**
   * Builds an image of `content` with a block index by kaonctl, pushes and signs it. Its frames have 64 KiB, so that
   * little is enough to see where a write goes on. `more` are further options of the build.
   */
  async pushIndexed(
    content: Buffer,
    more: readonly string[] = [],
  ): Promise<{ readonly reference: string; readonly layerDigest: string }> {
    this.#images += 1;
    const tag = `v${this.#images}`;
    const reference = `${this.registry.host}/os/edge:${tag}`;
    const [file, layout] = [join(this.folder, `${tag}.img`), join(this.folder, `${tag}.oci`)];
    await writeFile(file, content);
    const names = ['--name', 'edge', '--version', tag, '--compatible', 'board-1', '--frame-size', '64KiB', ...more];
    const built = await this.kaonctl('image', 'build', ...names, '--partition', `root=${file}`, '--output', layout);
    const pushed = await this.kaonctl('image', 'push', layout, reference, '--insecure-http', '--json');
    if (built.exitCode !== 0 || pushed.exitCode !== 0) throw new Error(built.stderr + pushed.stderr);
    const { digest } = JSON.parse(pushed.stdout) as { readonly digest: string };
    this.sign(digest, this.release);
    const inspected = await this.kaonctl('image', 'inspect', reference, '--insecure-http', '--json');
    const { layers } = JSON.parse(inspected.stdout) as { readonly layers: readonly LayerOfInspect[] };
    return { reference, layerDigest: layers[0]?.layerDigest ?? '' };
  }

  /** Puts a signature beside the image with `digest`; it says `signedDigest`. */
  sign(digest: string, signer: TestSigner, signedDigest = digest): void {
    const payload = simpleSigningPayload(signedDigest);
    this.putSignature(digest, payload, signer.sign(payload).toString('base64'));
  }

  /** Puts `signature`, whatever it is, beside the image with `digest`. */
  putSignature(digest: string, payload: Buffer, signature: string): void {
    fillRegistry(this.registry.content, 'os/edge', [
      signatureObject(digest, [signatureLayer(payload, signature)], [payload]),
    ]);
  }

  /** Runs kaonctl in this process against the node. */
  async kaonctl(...args: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
    const io = new RecordingIo({ environment: { KAON_SOCKET: this.node.socket }, clock: new SystemClock() });
    const exitCode = await runCli(args, io, { ...testDeps(), random: new SystemRandom() });
    return { exitCode, stdout: io.stdout, stderr: io.stderr };
  }

  /** Everything that a refusal before the first write must leave as it is. */
  async untouched(): Promise<Readonly<Record<string, string>>> {
    const names = ['slot-a.img', 'slot-b.img', 'grubenv'];
    const digests = await Promise.all(
      names.map(async (name) =>
        createHash('sha256')
          .update(await readFile(join(this.folder, name)))
          .digest('hex'),
      ),
    );
    return Object.fromEntries(names.map((name, index) => [name, digests[index] ?? '']));
  }

  async slot(name: 'a' | 'b'): Promise<Buffer> {
    return readFile(join(this.folder, `slot-${name}.img`));
  }

  async resizeSlot(name: 'a' | 'b', sizeBytes: number): Promise<void> {
    await truncate(join(this.folder, `slot-${name}.img`), sizeBytes);
  }

  /** The loader's variables. */
  async loader(): Promise<Readonly<Record<string, string>>> {
    const text = await readFile(join(this.folder, 'grubenv'), 'latin1');
    return Object.fromEntries(
      text
        .split('\n')
        .filter((line) => /^[A-Za-z_]+=/.test(line))
        .map((line) => line.split('=', 2) as [string, string]),
    );
  }

  /** Stages a good image, looks at the slot, and takes the update back. */
  async goodUpdateWorks(): Promise<boolean> {
    const image = this.push();
    const staged = await this.kaonctl('stage', image.reference);
    const isWritten = (await this.slot('b')).subarray(0, image.content.byteLength).equals(image.content);
    const cancelled = await this.kaonctl('cancel');
    await until('the end of the update', 60_000, async () => {
      const status = (await this.node.read('/v1/status')) as { readonly phase: string } | undefined;
      return status?.phase === 'idle' ? true : undefined;
    });
    if (staged.exitCode !== 0 || cancelled.exitCode !== 0) throw new Error(staged.stderr + cancelled.stderr);
    return isWritten;
  }
}
