import { describe, expect, it } from 'vitest';
import type { CommandRunner } from '../../../agent/systemd/command-runner.ts';
import { InhibitedSlotWriter } from '../../../agent/systemd/inhibited-slot-writer.ts';
import { InhibitorGate, type InhibitorRules, parseInhibitors } from '../../../agent/systemd/inhibitor-gate.ts';
import type { SlotWriter } from '../../../partitions/slot-writer.ts';
import type { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const minuteMs = 60_000;

type Entry = readonly [what: string, who: string, why: string, mode: string, uid: number, pid: number];

const answerOf = (...entries: readonly Entry[]) => JSON.stringify({ type: 'a(ssssuu)', data: [entries] });
const upgrade: Entry = ['shutdown:sleep', 'Backup', 'a backup\nruns', 'block', 0, 42];

class Logind implements CommandRunner {
  output = answerOf(upgrade);
  exitCode: number | undefined = 0;

  async run() {
    return { exitCode: this.exitCode, output: this.output };
  }
}

function gateWith(rules: Partial<InhibitorRules> = {}) {
  const logind = new Logind();
  const clock = new ManualClock(1_000_000);
  const gate = new InhibitorGate(logind, clock, { inhibitorWaitMs: 30 * minuteMs, afterWait: 'force', ...rules });
  return { logind, clock, gate };
}

describe('the gate of those who block a reboot', () => {
  it('says who and why, and until when', async () => {
    const { gate } = gateWith();
    expect(await gate.ask({ id: 'u-1' })).toEqual({
      isOpen: false,
      code: 'reboot-inhibited',
      text: 'Backup holds the reboot back: a backup runs',
      untilMs: 1_000_000 + 30 * minuteMs,
    });
  });

  it('opens when nobody does, or at the end of the wait', async () => {
    const { gate, logind, clock } = gateWith();
    await gate.ask({ id: 'u-1' });
    await clock.advance(30 * minuteMs - 1);
    expect((await gate.ask({ id: 'u-1' })).isOpen).toBe(false);
    await clock.advance(1);
    expect((await gate.ask({ id: 'u-1' })).isOpen).toBe(true);
    logind.output = answerOf();
    expect((await gate.ask({ id: 'u-2' })).isOpen).toBe(true);
  });

  it('counts the wait of each update, and of each time that somebody begins to block', async () => {
    const { gate, logind, clock } = gateWith();
    await gate.ask({ id: 'u-1' });
    await clock.advance(40 * minuteMs);
    expect((await gate.ask({ id: 'u-2' })).isOpen).toBe(false);
    logind.output = answerOf();
    await gate.ask({ id: 'u-2' });
    await clock.advance(40 * minuteMs);
    logind.output = answerOf(upgrade);
    expect((await gate.ask({ id: 'u-2' })).isOpen).toBe(false);
  });

  it('waits for as long as they block where the configuration says so, and then has no end to tell', async () => {
    const { gate, clock } = gateWith({ afterWait: 'wait' });
    await gate.ask({ id: 'u-1' });
    await clock.advance(24 * 60 * minuteMs);
    expect(await gate.ask({ id: 'u-1' })).toMatchObject({ isOpen: false, untilMs: undefined });
  });

  it('is open on a node without logind', async () => {
    const { gate, logind } = gateWith();
    logind.exitCode = 1;
    expect((await gate.ask({ id: 'u-1' })).isOpen).toBe(true);
  });

  it.each<[string, string, number]>([
    ['a delay', answerOf(['shutdown', 'kaon', 'writing', 'delay', 0, 1]), 0],
    ['a block of something else', answerOf(['sleep:idle', 'x', 'y', 'block', 0, 1]), 0],
    ['two blocks', answerOf(upgrade, ['shutdown', 'x', 'y', 'block', 0, 1]), 2],
    ['no JSON', 'Failed to connect', 0],
    ['another shape', '{"data":[[1,["shutdown"],{}]]}', 0],
    ['a list of nothing', '[]', 0],
  ])('finds in %s those who block a shutdown', (_name, output, count) => {
    expect(parseInhibitors(output)).toHaveLength(count);
  });
});

/** A lock that is held until its command is killed, or that is not to be had. */
class Locks implements CommandRunner {
  readonly held: string[] = [];
  isRefused = false;
  taken = 0;

  async run(argv: readonly string[], signal: AbortSignal) {
    if (this.isRefused) return { exitCode: 1, output: 'Failed to inhibit: no logind' };
    const name = argv.join(' ');
    this.held.push(name);
    this.taken += 1;
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    this.held.splice(this.held.indexOf(name), 1);
    return { exitCode: undefined, output: 'killed by SIGKILL' };
  }
}

describe('a write that shutdowns wait for', () => {
  const written = { manifestDigest: 'sha256:1', partitions: [] };
  /** Handed on as it is: what it says is the writer's. */
  const image = undefined as unknown as TrustedDescriptor;
  const write = (writer: SlotWriter) =>
    writer.write(
      'b',
      image,
      () => expect.unreachable(),
      () => undefined,
      new AbortController().signal,
    );

  function writerWith(action: () => Promise<typeof written>) {
    const locks = new Locks();
    const notes: string[] = [];
    return { locks, notes, writer: new InhibitedSlotWriter({ write: action }, locks, (note) => notes.push(note)) };
  }

  it('holds a delay while it goes on and none after it', async () => {
    const seen: (readonly string[])[] = [];
    const { locks, writer, notes } = writerWith(async () => {
      seen.push([...locks.held]);
      return written;
    });
    expect(await write(writer)).toBe(written);
    expect(seen).toEqual([
      ['systemd-inhibit --what=shutdown --mode=delay --who=kaon --why=slot b is being written sleep infinity'],
    ]);
    expect(locks.held).toEqual([]);
    expect(notes).toEqual([]);
  });

  it('gives it back when the write fails', async () => {
    const { locks, writer } = writerWith(() => Promise.reject(new Error('no such device')));
    await expect(write(writer)).rejects.toThrow('no such device');
    expect({ taken: locks.taken, held: locks.held }).toEqual({ taken: 1, held: [] });
  });

  it('goes on without one where there is no logind, and says so', async () => {
    let begin: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const { locks, writer, notes } = writerWith(() => begun.then(() => written));
    locks.isRefused = true;
    const writing = write(writer);
    await Promise.resolve().then(() => undefined);
    begin();
    expect(await writing).toBe(written);
    expect(notes).toEqual(['no shutdown waits for the write of slot b: Failed to inhibit: no logind']);
  });
});
