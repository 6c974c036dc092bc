import { TrybootBootloader } from '../../bootloader/tryboot.ts';
import { PowerLossFile } from '../fakes/power-loss-file.ts';
import { TrybootBoard } from '../fakes/tryboot-firmware.ts';
import { type ContractNode, describeBootloader } from './bootloader-suite.ts';

const file = '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n';

async function trybootNode(beforeStep: (name: string) => void): Promise<ContractNode> {
  const autoboot = new PowerLossFile(Buffer.from(file.padEnd(512, '\n')), 'autoboot', beforeStep);
  const board = new TrybootBoard();
  const loader = new TrybootBootloader(autoboot, board, { a: 2, b: 3 });
  let isPowered = true;
  let carried: string | undefined;
  return {
    loader,
    boot: async () => {
      // The agent's own reboot carries the argument; where the power went, nothing did.
      const { primary, trial } = await loader.readStatus();
      const isAgents = isPowered && trial !== undefined && trial === primary;
      board.reboot(isAgents ? await loader.armReboot(trial) : carried);
      carried = undefined;
      isPowered = true;
      const started = board.boot(autoboot.disk);
      return started === 2 ? 'a' : started === 3 ? 'b' : 'rescue';
    },
    carry: (argument) => {
      carried = argument;
    },
    losePower: (fate) => {
      autoboot.losePower(fate);
      board.losePower();
      isPowered = false;
    },
  };
}

describeBootloader('the Raspberry Pi’s tryboot', trybootNode, {
  tries: 1,
  countsProven: false,
  hasSteps: true,
  canary: 'changed',
});
