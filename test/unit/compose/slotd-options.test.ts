import { describe, expect, it } from 'vitest';
import { parseSlotdOptions, slotdHelp } from '../../../agent/compose/slotd-options.ts';

const parse = (...argv: string[]) => parseSlotdOptions(argv, {});

const refusal = (text: string) => ({
  code: 'usage-invalid',
  message: expect.stringContaining(text) as string,
});

describe('the options of kaon-slotd', () => {
  it('are those of a node where none is given', () => {
    expect(parse()).toEqual({
      config: '/etc/kaon/kaon.yaml',
      imageConfig: '/usr/lib/kaon/kaon.yaml',
      stateDir: '/var/lib/kaon-slotd',
      runtimeDir: '/run',
      listen: undefined,
      idleMs: 30_000,
      bootedSlot: undefined,
      areFileSlotsAllowed: false,
      rebootCommand: undefined,
    });
  });

  it('are taken as they are given', () => {
    const given = [
      ...['--config', 'c.yaml', '--image-config', 'i.yaml', '--state-dir', 's', '--listen', '/tmp/x/slotd.sock'],
      ...['--idle', '1.5', '--booted-slot', 'b', '--allow-file-slots', '--reboot-command', '["touch","a b"]'],
    ];
    expect(parse(...given)).toEqual({
      config: 'c.yaml',
      imageConfig: 'i.yaml',
      stateDir: 's',
      runtimeDir: '/tmp/x',
      listen: '/tmp/x/slotd.sock',
      idleMs: 1500,
      bootedSlot: 'b',
      areFileSlotsAllowed: true,
      rebootCommand: ['touch', 'a b'],
    });
  });

  it('take the directories that systemd made; --state-dir goes before them', () => {
    const made = { STATE_DIRECTORY: '/var/lib/made', RUNTIME_DIRECTORY: '/run/made' };
    expect(parseSlotdOptions(['--listen', '/tmp/slotd.sock'], made)).toMatchObject({
      stateDir: '/var/lib/made',
      runtimeDir: '/run/made',
    });
    expect(parseSlotdOptions(['--state-dir', 'mine'], made)).toMatchObject({ stateDir: 'mine' });
  });

  it.each([
    ['--booted-slot', 'c'],
    ['--booted-slot', 'A'],
    ['--booted-slot', ''],
    ['--idle', 'soon'],
    ['--idle', '1e3'],
    ['--idle', '9999999'],
    ['--idle', ''],
    ['--reboot-command', 'systemctl reboot'],
    ['--reboot-command', '"reboot"'],
    ['--reboot-command', '[]'],
    ['--reboot-command', '["reboot",1]'],
    ['--reboot-command', '{"0":"reboot"}'],
  ])('%s %j is refused, and the option and its value are named', (option, value) => {
    expect(() => parse(option, value)).toThrow(expect.objectContaining(refusal(option)));
    expect(() => parse(option, value)).toThrow(expect.objectContaining(refusal(`is ${JSON.stringify(value)}, want `)));
  });

  it.each([
    ['an option that it does not have', ['--boot-id', '1'], '--boot-id'],
    ['an option without its value', ['--listen'], '--listen'],
    ['an option in the place of a value', ['--config', '--idle'], '--config'],
    ['a value for an option that has none', ['--allow-file-slots=yes'], '--allow-file-slots'],
    ['a word that belongs to no option', ['slotd.sock'], 'slotd.sock'],
  ])('refuse %s', (_what, argv, named) => {
    expect(() => parse(...argv)).toThrow(expect.objectContaining(refusal(named)));
  });

  it('ask for help or the version whatever else is given, if it can be read at all', () => {
    expect(parse('--help', '--idle', 'soon')).toBe('help');
    expect(parse('--version')).toBe('version');
    expect(() => parse('--help', '--nonsense')).toThrow(expect.objectContaining(refusal('--nonsense')));
  });

  it('are all in the help, whose example can be used', () => {
    const options = ['config', 'image-config', 'state-dir', 'listen', 'idle', 'booted-slot', 'allow-file-slots'];
    for (const option of [...options, 'reboot-command']) expect(slotdHelp).toContain(`  --${option} `);
    const example = /^Example: kaon-slotd (.*)$/m.exec(slotdHelp)?.[1] ?? '';
    expect(parse(...example.split(' '))).toMatchObject({ bootedSlot: 'a', areFileSlotsAllowed: true });
  });
});
