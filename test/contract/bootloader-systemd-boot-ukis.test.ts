import { SystemdBootUkis } from '../../bootloader/systemd-boot-ukis.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';
import { sampleUki } from '../fakes/sample-uki.ts';
import { blessBoot, startEntry } from '../fakes/systemd-boot-firmware.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

/** An image with a version that is signed inside it, and a kernel that tells whose it is. */
function imageText(slot: 'a' | 'b', version: string): string {
  return sampleUki({ '.osrel': `ID=edge\nIMAGE_VERSION=${version}\n`, '.linux': `kernel of ${slot}` }).toString(
    'latin1',
  );
}

/** Slot a is listed without a counter, slot b has its staged image only. */
async function ukiNode(versions: { readonly a: string; readonly b: string }, beforeStep: (name: string) => void) {
  const partition = new PowerLossDirectory(
    {
      'loader/loader.conf': 'timeout 0\n',
      'EFI/Linux/kaon-a.efi': imageText('a', versions.a),
      'kaon/b/staged.efi': imageText('b', versions.b),
    },
    beforeStep,
  );
  const node: ContractNode = {
    loader: new SystemdBootUkis(partition, { entryPrefix: 'kaon' }),
    boot: async () => {
      const path = startEntry(partition)?.path;
      // What the name says and what the image is must never differ.
      const started = path === undefined ? 'rescue' : (/^EFI\/Linux\/kaon-([ab])/.exec(path)?.[1] ?? 'rescue');
      if (path !== undefined && !partition.textOf(path).endsWith(`kernel of ${started}`))
        throw new Error(`torn: ${path}`);
      return started === 'a' || started === 'b' ? started : 'rescue';
    },
    losePower: (fate) => partition.losePower(fate),
  };
  return { node, partition };
}

/** systemd-bless-boot has renamed the image already when the agent marks it good. */
async function blessedNode(versions: { readonly a: string; readonly b: string }, beforeStep: (name: string) => void) {
  const { node, partition } = await ukiNode(versions, beforeStep);
  const { loader } = node;
  const markGood = loader.markGood.bind(loader);
  loader.markGood = async (slot) => {
    for (const id of [`kaon-${slot}`, `kaon-${slot}.2`]) blessBoot(partition, id);
    await markGood(slot);
  };
  return node;
}

const traits = { countsProven: false, hasSteps: true } as const;
const older = { a: '2.10', b: '2.9' };
const newer = { a: '2.9', b: '2.10' };
const same = { a: '3', b: '3' };

for (const [name, versions, tries] of [
  ['a newer image', newer, 3],
  ['an older image', older, 3],
  ['the same version', same, 2],
  ['an older image and one try', older, 1],
] as const) {
  describeBootloader(
    `systemd-boot with images in EFI/Linux, for ${name}`,
    async (beforeStep) => (await ukiNode(versions, beforeStep)).node,
    { tries, ...traits },
  );
}

describeBootloader(
  'systemd-boot with images in EFI/Linux, beside systemd-bless-boot, for an older image',
  (beforeStep) => blessedNode(older, beforeStep),
  { tries: 9, ...traits },
);
