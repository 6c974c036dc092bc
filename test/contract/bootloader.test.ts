import { GrubBootloader } from '../../bootloader/grub.ts';
import type { GrubLayout } from '../../bootloader/grub-dialect.ts';
import { encodeEnvironment } from '../../bootloader/grubenv.ts';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { MemoryBootloader } from '../fakes/memory-bootloader.ts';
import { PowerLossFile } from '../fakes/power-loss-file.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

async function grubNode(dialect: 'kaon' | 'rauc', beforeStep: (name: string) => void): Promise<ContractNode> {
  const layout: GrubLayout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: dialect === 'kaon' ? 4 : 1 };
  const file = new PowerLossFile(encodeEnvironment([], [['saved_entry', '0']], 1024), 'environment', beforeStep);
  const loader = new GrubBootloader(file, undefined, layout);
  await loader.repair('a', false);
  const script = { dialect, names: ['A', 'B'], full: 4 } as const;
  return {
    loader,
    boot: async () => {
      const { started, block } = bootGrub(script, file.disk);
      file.put(block);
      return started === 'A' ? 'a' : started === 'B' ? 'b' : 'rescue';
    },
    losePower: (fate) => file.losePower(fate),
  };
}

async function memoryNode(): Promise<ContractNode> {
  const loader = new MemoryBootloader();
  return { loader, boot: async () => loader.boot(), losePower: () => undefined };
}

describeBootloader('GRUB in kaon’s dialect', (beforeStep) => grubNode('kaon', beforeStep), {
  tries: 4,
  countsProven: true,
  hasSteps: true,
});
describeBootloader('GRUB in RAUC’s dialect', (beforeStep) => grubNode('rauc', beforeStep), {
  tries: 1,
  countsProven: true,
  hasSteps: true,
  revivesTrials: true,
});
describeBootloader('the loader in memory', memoryNode, { tries: 4, countsProven: true, hasSteps: false });
