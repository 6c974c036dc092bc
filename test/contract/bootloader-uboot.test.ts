import { type EnvironmentCopies, UbootBootloader } from '../../bootloader/uboot.ts';
import type { FlagScheme } from '../../bootloader/ubootenv-copies.ts';
import { encodeCopy } from '../../bootloader/ubootenv.ts';
import { PowerLossFile } from '../fakes/power-loss-file.ts';
import { bootUboot, type UbootScript } from '../fakes/uboot-firmware.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

const sizeBytes = 2048;
// Foreign variables that reach over the first sector.
const foreign = [
  ['bootcmd', 'run kaon_boot'],
  ['kaon_boot', `source ${'x'.repeat(700)}`],
] as const;

const schemes = { incremental: {}, boolean: { hasBooleanFlags: true }, sequence: { hasFiles: true } } as const;

type Rules = UbootScript['rules'];

async function redundantNode(
  rules: Rules,
  flags: FlagScheme,
  beforeStep: (name: string) => void,
): Promise<ContractNode> {
  const files = [
    new PowerLossFile(encodeCopy(foreign, sizeBytes, flags === 'boolean' ? 1 : 255), 'first', beforeStep),
    new PowerLossFile(new Uint8Array(sizeBytes).fill(0xff), 'second', beforeStep),
  ] as const;
  return nodeOf(rules, files, sizeBytes, flags);
}

/** Two files, of which only what is ours reaches the script and comes back. */
async function filesNode(beforeStep: (name: string) => void): Promise<ContractNode> {
  const files = [
    new PowerLossFile(new Uint8Array(sizeBytes), 'first', beforeStep),
    new PowerLossFile(new Uint8Array(sizeBytes), 'second', beforeStep),
  ] as const;
  return nodeOf('kaon', files, sizeBytes, 'sequence');
}

async function sectorNode(rules: Rules, beforeStep: (name: string) => void): Promise<ContractNode> {
  const block = encodeCopy([['bootcmd', 'run x']], 512, undefined);
  return nodeOf(rules, [new PowerLossFile(block, 'environment', beforeStep)], 512, 'incremental');
}

async function nodeOf(
  rules: Rules,
  files: readonly [PowerLossFile] | readonly [PowerLossFile, PowerLossFile],
  copyBytes: number,
  flags: FlagScheme,
): Promise<ContractNode> {
  const copies: EnvironmentCopies = files;
  const loader = new UbootBootloader(copies, {
    sizeBytes: copyBytes,
    flags,
    layout: { dialect: rules === 'bootcount' ? 'bootcount' : 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3 },
  });
  await loader.repair('a', false);
  const script: UbootScript = { rules, names: ['A', 'B'], full: 3, ...schemes[flags] };
  return {
    loader,
    boot: async () => {
      const before = files.map((file) => file.disk);
      const { started, copies: after } = bootUboot(script, before);
      files.forEach((file, index) => file.put(after[index] ?? new Uint8Array()));
      return started === 'A' ? 'a' : started === 'B' ? 'b' : 'rescue';
    },
    losePower: (fate) => files.forEach((file) => file.losePower(fate)),
  };
}

const counted = { countsProven: true, hasSteps: true } as const;

describeBootloader('U-Boot with two copies, by boot.cmd', (step) => redundantNode('kaon', 'incremental', step), {
  ...counted,
  tries: 4,
});
describeBootloader('U-Boot with active and obsolete copies', (step) => redundantNode('kaon', 'boolean', step), {
  ...counted,
  tries: 3,
});
describeBootloader('U-Boot with two files, by boot.cmd', filesNode, { ...counted, tries: 4 });
describeBootloader('U-Boot with one sector, by boot.cmd', (step) => sectorNode('kaon', step), {
  ...counted,
  tries: 15,
});
describeBootloader('U-Boot with two copies, by RAUC’s script', (step) => redundantNode('rauc', 'incremental', step), {
  ...counted,
  tries: 3,
  revivesTrials: true,
});
describeBootloader(
  'U-Boot with active and obsolete copies, by RAUC’s script',
  (step) => redundantNode('rauc', 'boolean', step),
  {
    ...counted,
    tries: 3,
    revivesTrials: true,
  },
);
const uncounted = { countsProven: false, hasSteps: true, canary: 'changed' } as const;
describeBootloader('U-Boot’s own counter', (step) => redundantNode('bootcount', 'incremental', step), {
  ...uncounted,
  tries: 5,
});
describeBootloader(
  'U-Boot’s own counter with active and obsolete copies',
  (step) => redundantNode('bootcount', 'boolean', step),
  {
    ...uncounted,
    tries: 5,
  },
);
describeBootloader('U-Boot’s own counter in one sector', (step) => sectorNode('bootcount', step), {
  ...uncounted,
  tries: 5,
});
