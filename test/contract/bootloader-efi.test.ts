import { EfiBootloader } from '../../bootloader/efi-boot.ts';
import { EfiFirmware } from '../fakes/efi-firmware.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

async function efiNode(beforeStep: (name: string) => void): Promise<ContractNode> {
  const firmware = new EfiFirmware(beforeStep);
  firmware.addEntry(0x0001, 'slot A');
  firmware.addEntry(0x001b, 'slot B');
  firmware.addEntry(0x2001, 'USB');
  const loader = new EfiBootloader(firmware, { a: 'slot A', b: 'slot B' });
  await loader.repair('a', false);
  return {
    loader,
    boot: async () => {
      const started = firmware.boot();
      return started === 'slot A' ? 'a' : started === 'slot B' ? 'b' : 'rescue';
    },
    losePower: () => firmware.losePower(),
  };
}

describeBootloader('EFI BootNext and BootOrder', efiNode, {
  tries: 1,
  countsProven: false,
  hasSteps: true,
  canary: 'changed',
});
