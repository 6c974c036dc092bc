import { expect, it } from 'vitest';
import { powerOn } from '../../vm/machine.ts';
import { waysBack } from '../../vm/ways-back.ts';

const second = 1000;
const line = (atSeconds: number, text: string) => ({ atMs: atSeconds * second, text });
const armed = '{"event":"armed","msg":"slot b is primary"}';
const back = '{"event":"update-rolled-back","msg":"the update ended"}';

it('a way back begins where the armed slot is booted, and ends where the old slot tells it', () => {
  const life = [
    ...[line(0, powerOn), line(20, armed), line(30, 'reboot: Restarting system')],
    ...[line(31, powerOn), line(50, 'Kernel panic'), line(60, powerOn), line(90, powerOn), line(120, back)],
  ];
  expect(waysBack(life, ['never-booted'])).toEqual([{ kind: 'never-booted', seconds: 89, boots: 3 }]);
});

it('each way back of a life has its own time, and the kind of its record', () => {
  const life = [
    ...[line(0, powerOn), line(20, armed), line(31, powerOn), line(60, powerOn), line(80, back)],
    ...[line(90, armed), line(100, powerOn), line(140, powerOn), line(160, back)],
  ];
  expect(waysBack(life, ['agent-absent', 'check-failed'])).toEqual([
    { kind: 'agent-absent', seconds: 49, boots: 2 },
    { kind: 'check-failed', seconds: 60, boots: 2 },
  ]);
});

it('a trial that an operator cancels has its way back, too', () => {
  const cancelled = '{"event":"update-cancelled","msg":"an operator cancelled the trial"}';
  const life = [
    ...[line(0, powerOn), line(20, armed), line(31, powerOn), line(60, powerOn), line(80, cancelled)],
    ...[line(90, armed), line(100, powerOn), line(140, powerOn), line(160, back)],
  ];
  expect(waysBack(life, ['operator', 'check-failed'])).toEqual([
    { kind: 'operator', seconds: 49, boots: 2 },
    { kind: 'check-failed', seconds: 60, boots: 2 },
  ]);
});

it('what breaks after the commit counts from there', () => {
  const life = [
    ...[line(0, powerOn), line(20, armed), line(31, powerOn), line(60, 'vm-scenario: breaks now')],
    ...[line(200, powerOn), line(220, back)],
  ];
  expect(waysBack(life, ['check-failed'])).toEqual([{ kind: 'check-failed', seconds: 160, boots: 1 }]);
});

it('an update that is committed has no way back', () => {
  expect(waysBack([line(0, powerOn), line(20, armed), line(31, powerOn)], [])).toEqual([]);
});
