import { type Command, Option } from 'commander';
import type { ApiClient } from '../client.ts';
import { exitCodeOf } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { offlineSource } from '../option-values.ts';
import { renderPlan } from '../render-plan.ts';
import { followToEnd } from '../follow-to-end.ts';

interface UpdateOptions {
  readonly from?: string;
  readonly detach?: boolean;
  readonly until?: 'staged' | 'activated' | 'committed';
  readonly allowDowngrade?: string;
  readonly metered?: boolean;
}

const fromText = 'read the image from oci:DIR[:NAME] or oci-archive:FILE[:NAME] on the node';
const meteredText = 'let it fetch what it needs over a metered link as well';
const detachText = 'return as soon as the request is accepted';

/** `plan`, `update`, `stage`, `rollback`. */
export function addUpdateCommands(program: Command, context: CliContext): void {
  addPlan(program, context);
  addUpdate(program, context);
  addStage(program, context);
  addRollback(program, context);
}

function addPlan(program: Command, context: CliContext): void {
  const plan = addCommand(program, {
    usage: 'plan <image>',
    description: 'Show what an update would do and what stands in its way; nothing is written.',
    examples: [
      'plan registry.acme.io/os/edge:v2',
      'plan registry.acme.io/os/edge:v2 --from oci-archive:/media/edge.tar',
    ],
  }).option('--from <source>', fromText, offlineSource);
  perform<UpdateOptions>(plan, context, async (invocation) => {
    const { value, raw } = await invocation.api().plan(invocation.argument(0), invocation.options.from);
    invocation.print(raw, renderPlan(value));
    const [blocker] = value.blockers;
    return blocker === undefined ? 0 : exitCodeOf(blocker.code);
  });
}

function addUpdate(program: Command, context: CliContext): void {
  const update = addCommand(program, {
    usage: 'update <image>',
    description: 'Install an image into the inactive slot, reboot into it, and commit it once it proved itself.',
    examples: [
      'update registry.acme.io/os/edge:v2',
      'update registry.acme.io/os/edge:v2 --until activated',
      'update registry.acme.io/os/edge:v2 --detach --json',
    ],
  })
    .option('--from <source>', fromText, offlineSource)
    .option('--detach', detachText)
    .option('--metered', meteredText)
    .option('--allow-downgrade <reason>', 'let it go below the rollback floor, in an emergency; the reason is recorded')
    .addOption(
      new Option('--until <phase>', 'how far it goes by itself')
        .choices(['staged', 'activated', 'committed'])
        .default('committed'),
    );
  perform<UpdateOptions>(update, context, (invocation) =>
    startUpdate(invocation, invocation.options.until ?? 'committed'),
  );
}

function addStage(program: Command, context: CliContext): void {
  const stage = addCommand(program, {
    usage: 'stage <image>',
    description: 'Write an image into the inactive slot and verify it; it is not booted before it is activated.',
    examples: ['stage registry.acme.io/os/edge:v2', 'stage registry.acme.io/os/edge:v2 --from oci:/media/usb/edge'],
  })
    .option('--from <source>', fromText, offlineSource)
    .option('--metered', meteredText)
    .option('--detach', detachText);
  perform<UpdateOptions>(stage, context, (invocation) => startUpdate(invocation, 'staged'));
}

function addRollback(program: Command, context: CliContext): void {
  const rollback = addCommand(program, {
    usage: 'rollback',
    description: 'Go back to what the other slot holds, through a trial like any other.',
    examples: ['rollback', 'rollback --detach'],
  }).option('--detach', detachText);
  perform<UpdateOptions>(rollback, context, (invocation) =>
    start(invocation, 'committed', (api, key) => api.startRollback(key)),
  );
}

function startUpdate(invocation: Invocation<UpdateOptions>, until: 'staged' | 'activated' | 'committed') {
  const { from, allowDowngrade: downgradeReason, metered: isMeteredAllowed = false } = invocation.options;
  const ask = { image: invocation.argument(0), from, until, downgradeReason, isMeteredAllowed };
  return start(invocation, until, (api, key) => api.startUpdate(ask, key));
}

async function start(
  invocation: Invocation<UpdateOptions>,
  until: 'staged' | 'activated' | 'committed',
  ask: (api: ApiClient, key: string) => ReturnType<ApiClient['startUpdate']>,
): Promise<number> {
  const { io, options, deps } = invocation;
  const api = invocation.api();
  const { value, raw } = await ask(api, deps.random.id());
  if (options.detach === true) {
    invocation.print(raw, `update ${value.updateId} is accepted; follow it with: kaonctl status --watch\n`);
    return 0;
  }
  io.err(`update ${value.updateId} is accepted\n`);
  return followToEnd(invocation, api, value.updateId, until);
}
