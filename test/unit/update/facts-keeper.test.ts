import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { raiseFloor } from '../../../agent/core/facts.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';

async function keeperOf(facts: MemoryFacts): Promise<FactsKeeper> {
  const keeper = new FactsKeeper(facts);
  await keeper.load();
  return keeper;
}

describe('the keeper of the facts', () => {
  it('takes changes at the same time one after the other, and loses none', async () => {
    const facts = new MemoryFacts();
    const keeper = await keeperOf(facts);
    await Promise.all(
      [1, 2, 3].map(() => keeper.change((data) => ({ ...data, installSequence: data.installSequence + 1 }))),
    );
    expect(keeper.data.installSequence).toBe(3);
    expect((await facts.load()).data.installSequence).toBe(3);
  });

  it('writes nothing when nothing changed', async () => {
    const steps: string[] = [];
    const keeper = await keeperOf(new MemoryFacts((name) => steps.push(name)));
    await keeper.change((data) => raiseFloor(data, 5));
    await keeper.change((data) => raiseFloor(data, 4));
    expect(steps).toEqual(['facts-save']);
  });

  it('keeps the old facts when the new ones cannot be saved, and takes the next change', async () => {
    let isFull = true;
    const keeper = await keeperOf(
      new MemoryFacts(() => {
        if (isFull) throw new AgentError('facts-failed', 'cannot write the facts: ENOSPC');
      }),
    );
    const failing = keeper.change((data) => raiseFloor(data, 5));
    await expect(failing).rejects.toMatchObject({ code: 'facts-failed' });
    expect(keeper.data.rollbackFloor).toBe(0);
    isFull = false;
    await keeper.change((data) => raiseFloor(data, 6));
    expect(keeper.data.rollbackFloor).toBe(6);
  });

  it('keeps the fields of newer agents when a loss is confirmed', async () => {
    const facts = new MemoryFacts();
    const keeper = await keeperOf(facts);
    await keeper.change((data) => ({ ...data, extra: { probation: 5 } }));
    await keeper.confirmLoss();
    expect((await facts.load()).data.extra).toEqual({ probation: 5 });
  });
});
