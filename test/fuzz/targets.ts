import { documentTargets } from './document-targets.ts';
import { httpTargets } from './http-targets.ts';
import { layerTargets } from './layer-targets.ts';
import { loaderTargets } from './loader-targets.ts';
import type { FuzzTarget } from './target.ts';

/** Every parser that sees bytes from outside. */
export const fuzzTargets: readonly FuzzTarget[] = [
  ...documentTargets,
  ...httpTargets,
  ...layerTargets,
  ...loaderTargets,
];
