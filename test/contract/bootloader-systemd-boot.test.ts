import { SystemdBootBootloader } from '../../bootloader/systemd-boot.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';
import { blessBoot, startEntry } from '../fakes/systemd-boot-firmware.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

function entryText(slot: string): string {
  return `title Node\nmachine-id 0123456789abcdef0123456789abcdef\nlinux /kaon-${slot}/vmlinuz\noptions root=PARTLABEL=root-${slot} panic=10\n`;
}

/** Slot a is listed without a counter, slot b has its staged entry only. */
async function systemdBootNode(beforeStep: (name: string) => void, isBlessed: boolean): Promise<ContractNode> {
  const partition = new PowerLossDirectory(
    {
      'kaon-a/vmlinuz': 'kernel a',
      'kaon-b/vmlinuz': 'kernel b',
      'loader/loader.conf': 'timeout 0\n',
      'loader/entries/kaon-a.conf': entryText('a'),
      'loader/entries/kaon-b.conf.staged': entryText('b'),
    },
    beforeStep,
  );
  const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
  return {
    loader: isBlessed ? withBless(loader, partition) : loader,
    boot: async () => {
      const path = startEntry(partition)?.path;
      if (path === undefined) return 'rescue';
      const text = partition.textOf(path);
      // A kernel without its options would find no root.
      if (!text.includes(' panic=10\n')) throw new Error(`a torn entry was booted: ${text}`);
      return text.includes('linux /kaon-a/vmlinuz\n') ? 'a' : text.includes('linux /kaon-b/vmlinuz\n') ? 'b' : 'rescue';
    },
    losePower: (fate) => partition.losePower(fate),
  };
}

/** systemd-bless-boot has renamed the entry already when the agent marks it good. */
function withBless(loader: SystemdBootBootloader, partition: PowerLossDirectory): SystemdBootBootloader {
  const markGood = loader.markGood.bind(loader);
  loader.markGood = async (slot) => {
    blessBoot(partition, `kaon-${slot}`);
    await markGood(slot);
  };
  return loader;
}

const traits = { countsProven: false, hasSteps: true, canary: 'changed' } as const;

describeBootloader('systemd-boot', (beforeStep) => systemdBootNode(beforeStep, false), { tries: 3, ...traits });
describeBootloader('systemd-boot with one try', (beforeStep) => systemdBootNode(beforeStep, false), {
  tries: 1,
  ...traits,
});
describeBootloader('systemd-boot beside systemd-bless-boot', (beforeStep) => systemdBootNode(beforeStep, true), {
  tries: 9,
  ...traits,
});
