import { describe, expect, it } from 'vitest';
import { readGrubState } from '../../vm/grub-disk.ts';

function block(values: string): string {
  return `# GRUB Environment Block\n${values.split(' ').join('\n')}\n`.replaceAll('_AND_', ' ').padEnd(1024, '#');
}

describe('the state of GRUB, read from outside', () => {
  it('has no trial where kaon_trial names none', () => {
    const state = readGrubState(block('ORDER=A_AND_B A_OK=1 A_LEFT=2 B_OK=0 B_LEFT=0 kaon_trial=- kaon_tries=0'));
    expect(state).toMatchObject({ trial: undefined, canBoot: { a: true, b: false } });
    expect(state.text).toBe('ORDER=A B A_OK=1 A_LEFT=2 B_OK=0 B_LEFT=0 kaon_trial=- kaon_tries=0');
  });

  it('has a trial that can boot while it has tries', () => {
    const state = readGrubState(block('ORDER=B_AND_A A_OK=1 A_LEFT=2 B_OK=1 B_LEFT=1 kaon_trial=B kaon_tries=2'));
    expect(state).toMatchObject({ trial: 'b', canBoot: { a: true, b: true } });
  });

  it('has a trial that never boots again once its tries are used up', () => {
    const state = readGrubState(block('ORDER=B_AND_A A_OK=1 A_LEFT=2 B_OK=1 B_LEFT=0 kaon_trial=B kaon_tries=2'));
    expect(state).toMatchObject({ trial: 'b', canBoot: { a: true, b: false } });
  });

  it('lets a proven slot boot though nothing is left to it', () => {
    const state = readGrubState(block('ORDER=A_AND_B A_OK=1 A_LEFT=0 B_OK=0 B_LEFT=0 kaon_trial=-'));
    expect(state.canBoot).toEqual({ a: true, b: false });
  });

  it('boots nothing by an environment without values', () => {
    expect(readGrubState(block('')).canBoot).toEqual({ a: false, b: false });
  });
});
