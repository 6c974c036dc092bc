import { duplexPair, type Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { CheckUnit } from '../../../agent/checkd/check-unit.ts';
import { encodeAttempt, encodeConcluded, encodeFailure, encodeGreeting } from '../../../agent/checkd/messages.ts';
import { AgentError, type ErrorReport } from '../../../agent/core/errors.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const never = new AbortController().signal;
const wanted = { check: 'web', settings: 'a'.repeat(64) };
const verdict = { verdict: 'failed', settings: 'a'.repeat(64) } as const;
const refusal = encodeFailure({
  code: 'check-refused',
  message: 'cannot run what is asked for: it is running already',
});

/** A unit at whose other end `act` is. */
function unitWith(act: (theirs: Duplex) => void) {
  const clock = new ManualClock();
  const problems: ErrorReport[] = [];
  let connections = 0;
  const connector = async () => {
    connections += 1;
    const [mine, theirs] = duplexPair();
    theirs.on('error', () => undefined);
    act(theirs);
    return Promise.resolve(mine);
  };
  const unit = new CheckUnit(connector, clock, (report) => problems.push(report));
  return { clock, unit, problems, connections: () => connections };
}

/** Greets, and answers the request with `line`; `undefined` ends without an answer. */
const answering = (line: string | undefined) => (theirs: Duplex) => {
  theirs.write(encodeGreeting());
  theirs.once('data', () => {
    if (line === undefined) theirs.destroy();
    else theirs.end(line);
  });
};

describe('kaon-check, asked by kaond', () => {
  it('gives all that an attempt found', async () => {
    const found = { isPassed: false, output: 'failed: web.service', isWorking: true, faults: ['web.service'] };
    const { unit, problems } = unitWith(answering(encodeAttempt(found)));
    expect(await unit.attempt(wanted, 10_000, never)).toEqual(found);
    expect(problems).toEqual([]);
  });

  it('keeps the end of a long output, whatever is in it', async () => {
    const output = `${'\u0001'.repeat(50_000)}the end`;
    const { unit } = unitWith(answering(encodeAttempt({ isPassed: false, output })));
    const found = await unit.attempt(wanted, 10_000, never);
    expect(found?.output).toHaveLength(4096);
    expect(found?.output.endsWith('the end')).toBe(true);
  });

  it.each<[string, (theirs: Duplex) => void, string]>([
    ['ends before it greets', (theirs) => theirs.destroy(), 'check-unreachable'],
    ['ends without an answer', answering(undefined), 'check-unreachable'],
    ['refuses', answering(refusal), 'check-refused'],
    ['refuses in place of a greeting', (theirs) => theirs.end(refusal), 'check-refused'],
    ['answers what is no answer', answering('{"isPassed":"yes"}\n'), 'check-refused'],
    ['answers without an end', answering('x'.repeat(300_000)), 'check-refused'],
  ])('has no answer where it %s, and tells why once', async (_name, act, code) => {
    const { unit, problems } = unitWith(act);
    for (let n = 0; n < 2; n++) expect(await unit.attempt(wanted, 10_000, never)).toBeUndefined();
    expect(problems.map((problem) => problem.code)).toEqual([code]);
  });

  it('has no answer where nobody listens', async () => {
    const problems: ErrorReport[] = [];
    const gone = new AgentError('check-unreachable', 'cannot reach kaon-check: ENOENT');
    const unit = new CheckUnit(
      async () => Promise.reject(gone),
      new ManualClock(),
      (report) => problems.push(report),
    );
    expect(await unit.attempt(wanted, 10_000, never)).toBeUndefined();
    expect(problems).toEqual([{ code: 'check-unreachable', message: gone.message }]);
  });

  it('is waited for once where it does not start, and asked again after five minutes', async () => {
    const { clock, unit, connections } = unitWith(() => undefined);
    const first = unit.attempt(wanted, 10_000, never);
    await clock.advance(20_000);
    expect(await first).toBeUndefined();
    expect(await unit.attempt(wanted, 10_000, never)).toBeUndefined();
    expect(connections()).toBe(1);
    await clock.advance(300_000);
    const again = unit.attempt(wanted, 10_000, never);
    await clock.advance(20_000);
    await again;
    expect(connections()).toBe(2);
  });

  it('is given up where it greets and does not answer in the time-out of the check', async () => {
    const { clock, unit, problems } = unitWith((theirs) => theirs.write(encodeGreeting()));
    const attempt = unit.attempt(wanted, 10_000, never);
    await clock.advance(14_999);
    expect(problems).toEqual([]);
    await clock.advance(1);
    expect(await attempt).toBeUndefined();
    expect(problems).toHaveLength(1);
  });

  it('hears when the attempt is given up, and nobody is told of a problem', async () => {
    let isClosed = false;
    const { clock, unit, problems } = unitWith((theirs) => {
      theirs.write(encodeGreeting());
      theirs.resume();
      theirs.once('end', () => (isClosed = true));
      theirs.once('close', () => (isClosed = true));
    });
    const ended = new AbortController();
    const attempt = unit.attempt(wanted, 10_000, ended.signal);
    await clock.advance(0);
    ended.abort();
    expect(await attempt).toBeUndefined();
    await clock.advance(0);
    expect({ isClosed, problems }).toEqual({ isClosed: true, problems: [] });
  });

  it.each<[string, (theirs: Duplex) => void, boolean]>([
    ['did it', answering(encodeConcluded()), true],
    ['began and ended without an answer', answering(undefined), true],
    ['refuses', answering(refusal), false],
    ['never greets', (theirs) => theirs.destroy(), false],
  ])('leaves to kaond what follows a verdict only where it did not begin: it %s', async (_name, act, expected) => {
    const { unit } = unitWith(act);
    expect(await unit.conclude(verdict, 30_000, never)).toBe(expected);
  });
});
