import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareStateDirectory } from '../../../agent/store/state-directory.ts';

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'kaon-state-'));
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

describe('the state directory', () => {
  it('is made where it is missing, closed to others, and left empty', async () => {
    const path = join(parent, 'lib', 'kaon');
    await prepareStateDirectory(path, []);
    expect(statSync(path).mode & 0o027).toBe(0);
    expect(readdirSync(path)).toEqual([]);
    await prepareStateDirectory(path, []);
  });

  it('is refused on the device of a slot', async () => {
    await expect(prepareStateDirectory(parent, [1, statSync(parent).dev])).rejects.toMatchObject({
      code: 'state-dir-invalid',
      message: expect.stringContaining('lies on a slot') as string,
    });
  });

  it('is refused where it is a file', async () => {
    const path = join(parent, 'file');
    writeFileSync(path, '');
    await expect(prepareStateDirectory(path, [])).rejects.toMatchObject({ code: 'state-dir-invalid' });
    await expect(prepareStateDirectory(join(path, 'below'), [])).rejects.toMatchObject({ code: 'state-dir-invalid' });
  });
});
