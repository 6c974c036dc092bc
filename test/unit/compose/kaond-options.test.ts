import { describe, expect, it } from 'vitest';
import { kaondHelp, parseKaondOptions } from '../../../agent/compose/kaond-options.ts';
import { parseSlotdOptions } from '../../../agent/compose/slotd-options.ts';

const parse = (...argv: string[]) => parseKaondOptions(argv, {});

const refusal = (text: string) => ({
  code: 'usage-invalid',
  message: expect.stringContaining(text) as string,
});

describe('the options of kaond', () => {
  it('are those of a node where none is given', () => {
    expect(parse()).toEqual({
      config: '/etc/kaon/kaon.yaml',
      imageConfig: '/usr/lib/kaon/kaon.yaml',
      defaultStateDir: '/var/lib/kaon',
      slotdSocket: '/run/kaon-slotd.sock',
      spawnSlotd: undefined,
      checkSocket: '/run/kaon-check.sock',
      bootId: undefined,
      evidenceRoot: '/',
      isCheckOnly: false,
    });
  });

  it('are taken as they are given', () => {
    const given = ['--config', 'c.yaml', '--image-config', 'i.yaml', '--state-dir', 's', '--slotd-socket', 'x.sock'];
    expect(parse(...given, '--boot-id', '0a-9f', '--evidence-root', 'kept', '--check-config')).toEqual({
      config: 'c.yaml',
      imageConfig: 'i.yaml',
      defaultStateDir: 's',
      slotdSocket: 'x.sock',
      spawnSlotd: undefined,
      checkSocket: '/run/kaon-check.sock',
      bootId: '0a-9f',
      evidenceRoot: 'kept',
      isCheckOnly: true,
    });
  });

  it('run health checks in kaond itself only where it starts its own kaon-slotd', () => {
    expect(parse('--spawn-slotd')).toMatchObject({ checkSocket: undefined });
    expect(parse('--spawn-slotd', '--check-socket', 'c.sock')).toMatchObject({ checkSocket: 'c.sock' });
    expect(parse('--check-socket', 'c.sock')).toMatchObject({ checkSocket: 'c.sock' });
  });

  it('take the directory that systemd made; --state-dir goes before it', () => {
    const made = { STATE_DIRECTORY: '/var/lib/made' };
    expect(parseKaondOptions([], made)).toMatchObject({ defaultStateDir: '/var/lib/made' });
    expect(parseKaondOptions(['--state-dir', 'mine'], made)).toMatchObject({ defaultStateDir: 'mine' });
  });

  it('hand kaon-slotd what it reads as its own', () => {
    const options = parse(
      ...['--spawn-slotd', '--config', 'c.yaml', '--image-config', 'i.yaml', '--slotd-socket', '/tmp/k/slotd.sock'],
      ...['--state-dir', 'of-kaond', '--slotd-state-dir', 'of-slotd', '--booted-slot', 'b'],
      ...['--allow-file-slots', '--reboot-command', '["reboot","--now"]'],
    );
    const handed = typeof options === 'string' ? [] : (options.spawnSlotd ?? []);
    expect(parseSlotdOptions(handed, {})).toMatchObject({
      config: 'c.yaml',
      imageConfig: 'i.yaml',
      stateDir: 'of-slotd',
      listen: '/tmp/k/slotd.sock',
      bootedSlot: 'b',
      areFileSlotsAllowed: true,
      rebootCommand: ['reboot', '--now'],
    });
  });

  it('allow kaon-slotd no file slots unless they are told to', () => {
    const options = parse('--spawn-slotd');
    const handed = typeof options === 'string' ? [] : (options.spawnSlotd ?? []);
    expect(parseSlotdOptions(handed, {})).toMatchObject({ areFileSlotsAllowed: false, bootedSlot: undefined });
  });

  it.each([
    ['--booted-slot', ['--booted-slot', 'a']],
    ['--allow-file-slots', ['--allow-file-slots']],
    ['--slotd-state-dir', ['--slotd-state-dir', '/tmp/k']],
    ['--reboot-command', ['--reboot-command', '["true"]']],
  ])('refuse %s where systemd starts kaon-slotd', (option, argv) => {
    expect(() => parse(...argv)).toThrow(
      expect.objectContaining(refusal(`cannot start kaond: ${option} wants --spawn-slotd`)),
    );
    expect(parse(...argv, '--spawn-slotd')).toMatchObject({
      spawnSlotd: expect.arrayContaining(argv.slice(1)) as string[],
    });
  });

  it.each([
    ['--reboot-command', 'reboot'],
    ['--reboot-command', '[]'],
    ['--reboot-command', 'null'],
    ['--booted-slot', 'c'],
    ['--boot-id', ''],
    ['--boot-id', '../journal'],
    ['--boot-id', 'A1'],
    ['--boot-id', '0'.repeat(37)],
  ])('%s %j is refused, and the option is named', (option, value) => {
    expect(() => parse('--spawn-slotd', option, value)).toThrow(expect.objectContaining(refusal(option)));
  });

  it.each([
    ['an option that it does not have', ['--idle', '3'], '--idle'],
    ['an option without its value', ['--config'], '--config'],
    ['a value for an option that has none', ['--check-config=yes'], '--check-config'],
    ['a word that belongs to no option', ['kaon.yaml'], 'kaon.yaml'],
  ])('refuse %s', (_what, argv, named) => {
    expect(() => parse(...argv)).toThrow(expect.objectContaining(refusal(named)));
  });

  it('ask for help or the version whatever else is given, if it can be read at all', () => {
    expect(parse('--help', '--boot-id', '!')).toBe('help');
    expect(parse('--version')).toBe('version');
    expect(() => parse('--version', '--nonsense')).toThrow(expect.objectContaining(refusal('--nonsense')));
  });

  it('are all in the help, whose example can be used', () => {
    const options = [
      'config',
      'image-config',
      'state-dir',
      'slotd-socket',
      'check-socket',
      'check-config',
      'spawn-slotd',
      'boot-id',
    ];
    const forSlotd = ['slotd-state-dir', 'booted-slot', 'allow-file-slots', 'reboot-command'];
    for (const option of [...options, ...forSlotd]) expect(kaondHelp).toContain(` --${option}`);
    const example = /^Example: kaond (.*)$/m.exec(kaondHelp)?.[1] ?? '';
    expect(parse(...example.split(' '))).toMatchObject({ isCheckOnly: true });
  });
});
