import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { GptBootloader } from '../../bootloader/gpt.ts';
import { bootGpt, type GptLoader } from '../fakes/gpt-firmware.ts';
import { PowerLossDisk } from '../fakes/power-loss-disk.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

// The slots' entries lie in different sectors of the array.
const guids = { a: 'aaaaaaaa-0001-4000-8000-00000000000a', b: 'bbbbbbbb-0005-4000-8000-00000000000b' };

async function gptNode(
  rules: GptLoader['rules'],
  blockBytes: 512 | 4096,
  beforeStep: (name: string) => void,
): Promise<ContractNode> {
  const fixture = join(import.meta.dirname, '../unit/bootloader/fixtures', `gpt-${blockBytes}.img.gz`);
  const disk = new PowerLossDisk(gunzipSync(readFileSync(fixture)), blockBytes, beforeStep);
  const loader = new GptBootloader(disk, guids);
  await loader.markBad('b');
  const firmware = { rules, blockBytes, type: '5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6' };
  return {
    loader,
    boot: async () => {
      const booted = bootGpt(firmware, disk.disk);
      disk.put(booted.disk);
      if (booted.started === 'rescue') return 'rescue';
      return booted.started === guids.a.toUpperCase() ? 'a' : 'b';
    },
    losePower: (fate) => disk.losePower(fate),
  };
}

const uncounted = { countsProven: false, hasSteps: true } as const;

describeBootloader('GPT attributes, read by gptprio', (step) => gptNode('gptprio', 512, step), {
  ...uncounted,
  tries: 4,
  canary: 'changed',
});
describeBootloader('GPT attributes in blocks of 4096 bytes', (step) => gptNode('gptprio', 4096, step), {
  ...uncounted,
  tries: 2,
  canary: 'changed',
});
describeBootloader('GPT attributes, read by ChromeOS’s firmware', (step) => gptNode('chromeos', 512, step), {
  ...uncounted,
  tries: 15,
  canary: 'unseen',
});
describeBootloader('GPT attributes with a single try', (step) => gptNode('chromeos', 512, step), {
  ...uncounted,
  tries: 1,
  canary: 'unseen',
});
