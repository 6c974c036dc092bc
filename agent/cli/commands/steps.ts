import type { Command } from 'commander';
import type { ApiClient } from '../client.ts';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';

/** `activate`, `cancel`, `pause`, `resume`, `reboot`, `mark good`, `mark bad`: one request, answered once it is saved. */
export function addStepCommands(program: Command, context: CliContext): void {
  const activate = addCommand(program, {
    usage: 'activate [id]',
    description: 'Let a staged update go on: arm the loader, so that the next boot tries the slot.',
    examples: ['activate', 'activate --reboot'],
  }).option('--reboot', 'go on to the reboot and the verdict as well');
  perform<{ reboot?: boolean }>(activate, context, async (invocation) => {
    const api = invocation.api();
    const id = await currentId(api, invocation.args[0], 'activate');
    const isRebootAsked = invocation.options.reboot === true;
    await api.activate(id, isRebootAsked);
    const next = isRebootAsked
      ? 'the node reboots into it as soon as nothing holds it'
      : 'the next reboot tries it (kaonctl reboot)';
    invocation.print({ updateId: id }, `update ${printable(id)} is to be activated; ${next}\n`);
    return 0;
  });

  const cancel = addCommand(program, {
    usage: 'cancel [id]',
    description: 'End the update under way, or the one with this id, and undo its work.',
    examples: ['cancel'],
  });
  perform(cancel, context, async (invocation) => {
    const api = invocation.api();
    const id = await currentId(api, invocation.args[0], 'cancel');
    await api.cancel(id);
    invocation.print({ updateId: id }, `update ${printable(id)} is to be cancelled; see kaonctl status\n`);
    return 0;
  });

  addPause(program, context);

  const reboot = addCommand(program, {
    usage: 'reboot',
    description: 'Reboot the node: into the activated slot where there is one.',
    examples: ['reboot'],
  });
  perform(reboot, context, async (invocation) => {
    const heldBy = await invocation.api().reboot();
    if (heldBy === undefined) invocation.print({ isRebooting: true }, 'the node reboots\n');
    else invocation.print({ isRebooting: false, heldBy }, `the node reboots later: ${printable(heldBy)}\n`);
    return 0;
  });

  const mark = addCommand(program, {
    usage: 'mark',
    description: 'Tell the loader that a slot is good or bad.',
    examples: ['mark bad b'],
  });
  addMark(mark, context, 'good', 'Mark the booted slot good: it proved itself.');
  addMark(mark, context, 'bad', 'Mark the other slot bad: it is never booted before an image is installed in it.');
}

function addPause(program: Command, context: CliContext): void {
  const pause = addCommand(program, {
    usage: 'pause [id]',
    description: 'Stop the download or the wait of the update under way, and keep what is done, over reboots too.',
    examples: ['pause'],
  });
  perform(pause, context, async (invocation) => {
    const api = invocation.api();
    const id = await currentId(api, invocation.args[0], 'pause');
    await api.pause(id);
    invocation.print({ updateId: id }, `update ${printable(id)} is paused; let it go on with: kaonctl resume\n`);
    return 0;
  });

  const resume = addCommand(program, {
    usage: 'resume [id]',
    description: 'Let a paused update go on where it was, or one that waits for a link that is not metered.',
    examples: ['resume', 'resume --metered'],
  }).option('--metered', 'let it fetch what it needs over a metered link as well');
  perform<{ metered?: boolean }>(resume, context, async (invocation) => {
    const api = invocation.api();
    const id = await currentId(api, invocation.args[0], 'resume');
    await api.resume(id, invocation.options.metered === true);
    invocation.print({ updateId: id }, `update ${printable(id)} goes on; see kaonctl status\n`);
    return 0;
  });
}

function addMark(parent: Command, context: CliContext, verdict: 'good' | 'bad', description: string): void {
  const usage = `${verdict} <slot>`;
  const example = verdict === 'good' ? 'mark good a' : 'mark bad b';
  const command = addCommand(parent, { usage, description, examples: [example] });
  perform(command, context, async (invocation) => {
    const slot = invocation.argument(0);
    await invocation.api().mark(slot, verdict);
    invocation.print({ slot, marked: verdict }, `slot ${printable(slot)} is marked ${verdict}\n`);
    return 0;
  });
}

/** `given`, or the id of the update under way. Rejects with `update-not-found` when there is none. */
async function currentId(api: ApiClient, given: string | undefined, verb: string): Promise<string> {
  if (given !== undefined) return given;
  const { value } = await api.status();
  if (value.current !== undefined) return value.current.request.id;
  throw new CliError('update-not-found', `cannot ${verb} the update: none is under way`);
}
