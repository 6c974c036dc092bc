import { randomInt, randomUUID } from 'node:crypto';
import type { Random } from '../core/ports.ts';

const steps = 2 ** 47;

/** Randomness of the system's generator. */
export class SystemRandom implements Random {
  fraction(): number {
    return randomInt(steps) / steps;
  }

  id(): string {
    return randomUUID();
  }
}
