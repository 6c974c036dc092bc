import { describe, expect, it } from 'vitest';
import { makeImage } from './images.ts';
import { live } from './life.ts';
import { expectPromises } from './promises.ts';
import { updateToNew as update } from './update-request.ts';
import { World } from './world.ts';

describe.each(['systemd-boot', 'systemd-boot-uki'] as const)('what was staged and is gone (%s)', (loader) => {
  /** A life in which fsck takes what was staged after each of the first `losses` writes, and power is cut at `cut`. */
  async function lose(losses: number, cut?: number) {
    const plan = { loader, cuts: cut === undefined ? [] : [cut], fates: { seed: cut ?? 0 } };
    const world = new World(plan, [makeImage('new', 'healthy')]);
    await world.provision();
    const save = world.records.save.bind(world.records);
    let left = losses;
    world.records.save = async (slot, written) => {
      await save(slot, written);
      if (left-- > 0) world.loader.dropStaged?.(slot);
    };
    const end = await live(world, update);
    const where = `${JSON.stringify(plan)}: ${end.boots.join(' ')}`;
    expect(end, where).toMatchObject({ end: 'at-rest', violations: [] });
    await expectPromises(world, end, update, 'healthy', where);
    return { world, end };
  }

  it('is staged once more, and the update goes on', async () => {
    const { end } = await lose(1);
    expect(end.boots).toEqual(['a:factory', 'b:new']);
    expect(end.state).toMatchObject({ last: { result: 'committed' } });
  });

  it('is staged once more whenever power is lost in between', async () => {
    const { world } = await lose(1);
    for (let cut = 0; cut < world.steps.length; cut += 1) {
      const { end } = await lose(1, cut);
      expect(end.state, `cut ${cut}`).toMatchObject({ last: { result: 'committed' } });
    }
  });

  it('is not staged a third time: the update goes back with the reason', async () => {
    const { world, end } = await lose(2);
    expect(end.boots).toEqual(['a:factory']);
    expect(end.state).toMatchObject({ last: { result: 'rolled-back' } });
    expect(await world.journal.rollback(update.id)).toMatchObject({ reason: 'activation-failed' });
  });
});
