import type { Command } from 'commander';
import { addCommand, type CliContext } from '../invocation.ts';
import { addBuild, addPush, addSign } from './image-build.ts';
import { addPatch } from './image-patch.ts';
import { addInspect, addVerify } from './image-check.ts';

/** `image …`: the tools that need no daemon. */
export function addImageCommands(program: Command, context: CliContext): void {
  const image = addCommand(program, {
    usage: 'image',
    isOffline: true,
    description: 'Build, sign, push, patch, inspect and verify images; needs no daemon.',
    examples: ['image inspect registry.acme.io/os/edge:v2'],
  });
  addBuild(image, context);
  addPush(image, context);
  addSign(image, context);
  addPatch(image, context);
  addInspect(image, context);
  addVerify(image, context);
}
