import { parseArgs } from 'node:util';
import { benchRows, type RowGroup, type RowName } from './rows.ts';

/** What the caller wants. */
export interface BenchOptions {
  readonly rows: readonly RowName[];
  readonly rounds: number;
  readonly sizeBytes: number;
  /** Sizes of the images whose memory is looked at, ascending. */
  readonly memorySizes: readonly number[];
  readonly isQuick: boolean;
  readonly isJson: boolean;
  readonly isPrepareOnly: boolean;
  /** Run the agent from its sources, without a build. */
  readonly isFromSources: boolean;
  /** Leave the folder of the run. */
  readonly isKept: boolean;
}

const mebibyte = 1024 * 1024;
const smallestBytes = 16 * mebibyte;
const largestBytes = 16 * 1024 * mebibyte;

export const usage = `Measures kaon against public peers. Needs root, loop devices and Debian.

Usage: npm run bench -- [options]

  --only ROW[,ROW]  these rows alone; the others of the same runs come along
  --rounds N        rounds of the rows that compare times, 5 unless told; an odd number
  --size SIZE       of the installed image, such as 256MiB; 1GiB unless told
  --quick           one round with a tiny image: whether the bench works, no result
  --prepare         make what is kept for later runs (images, the peers' packages), and end
  --sources         run the agent from its sources and not from a build
  --keep            leave the folder of the run
  --json            the table as JSON
  --help

Rows: ${benchRows.map(({ name }) => name).join(' ')}
`;

/** The options in `args`, or `help`. Throws `RangeError` or `TypeError` with a message for the caller. */
export function parseOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      rounds: { type: 'string' },
      size: { type: 'string' },
      quick: { type: 'boolean', default: false },
      prepare: { type: 'boolean', default: false },
      sources: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const isQuick = values.quick;
  const sizeBytes = values.size === undefined ? (isQuick ? 24 : 1024) * mebibyte : parseSize(values.size);
  return {
    rows: values.only === undefined ? benchRows.map(({ name }) => name) : parseRows(values.only),
    rounds: values.rounds === undefined ? (isQuick ? 1 : 5) : parseRounds(values.rounds),
    sizeBytes,
    memorySizes: (isQuick ? [1, 2] : [1, 4, 16]).map((factor) => factor * sizeBytes),
    isQuick,
    isJson: values.json,
    isPrepareOnly: values.prepare,
    isFromSources: values.sources || isQuick,
    isKept: values.keep,
  };
}

/** The groups that these rows need, in the order of the table. */
export function groupsOf(rows: readonly RowName[]): readonly RowGroup[] {
  return [...new Set(benchRows.filter(({ name }) => rows.includes(name)).map(({ group }) => group))];
}

function parseRows(text: string): readonly RowName[] {
  return text.split(',').map((wanted) => {
    const row = benchRows.find(({ name }) => name === wanted);
    if (row === undefined) throw new RangeError(`cannot run row ${wanted}: there is none of this name; see --help`);
    return row.name;
  });
}

function parseRounds(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 99 || rounds % 2 === 0) {
    throw new RangeError(`cannot run ${text} rounds: want an odd number of 1 to 99, so that one is the median`);
  }
  return rounds;
}

function parseSize(text: string): number {
  const [, digits, unit] = /^(\d+)(MiB|GiB)$/.exec(text) ?? [];
  const bytes = Number(digits) * (unit === 'GiB' ? 1024 : 1) * mebibyte;
  if (!(bytes >= smallestBytes && bytes <= largestBytes)) {
    throw new RangeError(`cannot use size ${text}: want 16MiB to 16GiB`);
  }
  return bytes;
}
