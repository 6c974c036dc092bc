import type { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';

/** A node whose power went, or did not, in what was played on it. */
export interface CutNode<N> {
  readonly node: N;
  /** Whether all of it was done before. */
  readonly isDone: boolean;
  /** Which cut it was, for a failure to name. */
  readonly where: string;
}

/**
 * Plays `act` on new nodes, cut before each of its steps in turn and at last not at all, each with `fateCount` ways in
 * which what was not synced is lost or not. `makeNode` gives a node that calls `beforeStep` before each change; what
 * `prepare` does with it is not cut. Nodes come out with their power back. Whatever else `act` fails of is thrown.
 */
export async function* eachPowerLoss<N extends { readonly partition: PowerLossDirectory }>(played: {
  readonly fateCount: number;
  readonly makeNode: (beforeStep: () => void) => N;
  readonly prepare?: (node: N) => Promise<unknown>;
  readonly act: (node: N) => Promise<unknown>;
}): AsyncGenerator<CutNode<N>> {
  const { fateCount, makeNode, prepare, act } = played;
  const powerLoss = new Error('the power goes');
  for (let cutAt = 0, isDone = false; !isDone; cutAt += 1) {
    for (let fates = 0; fates < fateCount; fates += 1) {
      let left = Number.POSITIVE_INFINITY;
      const node = makeNode(() => {
        if (left-- <= 0) throw powerLoss;
      });
      await prepare?.(node);
      left = cutAt;
      isDone = await act(node).then(
        () => true,
        (error: unknown) => {
          if (error !== powerLoss) throw error;
          return false;
        },
      );
      left = Number.POSITIVE_INFINITY;
      let asked = 0;
      node.partition.losePower(() => ((fates >> asked++) & 1 ? 'written' : 'lost'));
      yield { node, isDone, where: `cut before step ${cutAt}, fates ${fates.toString(2)}` };
    }
  }
}
