import { prepareDeltas, runDeltas } from './row-delta.ts';
import { prepareInstall, runInstall } from './row-install.ts';
import { runAgain, runKill, runLink } from './row-link.ts';
import { prepareMemory, runIdle, runMemory, runStatus } from './row-node.ts';
import type { GroupResults, RowGroup } from './rows.ts';
import type { Workbench } from './workbench.ts';

/** How the rows of a group come about. */
export interface GroupRunner {
  /** Makes what it needs and keeps it for later runs. */
  readonly prepare?: (bench: Workbench) => Promise<void>;
  readonly run: (bench: Workbench) => Promise<GroupResults>;
}

export const groupRunners: Readonly<Record<RowGroup, GroupRunner>> = {
  install: { prepare: prepareInstall, run: runInstall },
  status: { run: runStatus },
  memory: { prepare: prepareMemory, run: runMemory },
  idle: { run: runIdle },
  delta: { prepare: prepareDeltas, run: runDeltas },
  again: { run: runAgain },
  kill: { run: runKill },
  link: { run: runLink },
};
