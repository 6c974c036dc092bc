import { describe, expect, it } from 'vitest';
import { checkHelp, parseCheckOptions } from '../../../agent/compose/check-options.ts';

describe('the options of kaon-check', () => {
  it('are those of a node where none is given', () => {
    expect(parseCheckOptions([])).toEqual({
      config: '/etc/kaon/kaon.yaml',
      imageConfig: '/usr/lib/kaon/kaon.yaml',
      listen: undefined,
      idleMs: 30_000,
    });
  });

  it('are taken as they are given', () => {
    const argv = ['--config', 'c.yaml', '--image-config', 'i.yaml', '--listen', 'x.sock', '--idle', '1.5'];
    const expected = { config: 'c.yaml', imageConfig: 'i.yaml', listen: 'x.sock', idleMs: 1500 };
    expect(parseCheckOptions(argv)).toEqual(expected);
    expect(parseCheckOptions(['--help'])).toBe('help');
    expect(parseCheckOptions(['--version'])).toBe('version');
    for (const option of ['--config', '--image-config', '--listen', '--idle']) expect(checkHelp).toContain(option);
  });

  it.each([[['--idle', 'soon']], [['--check', 'web']], [['web']]])('refuse %j', (argv) => {
    expect(() => parseCheckOptions(argv)).toThrow(expect.objectContaining({ code: 'usage-invalid' }));
  });
});
