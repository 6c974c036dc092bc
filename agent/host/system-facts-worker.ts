import { parentPort } from 'node:worker_threads';
import { cpu, osInfo, system } from 'systeminformation';
import type { SystemFacts } from './system-facts.ts';

const [os, processor, machine] = await Promise.all([osInfo(), cpu(), system()]);

const facts: SystemFacts = {
  osName: said(os.distro),
  osVersion: said(os.release),
  kernel: said(os.kernel),
  cpu: said(`${processor.manufacturer} ${processor.brand}`.trim()),
  virtualization: machine.virtual ? (said(machine.virtualHost ?? '') ?? 'yes') : undefined,
};

parentPort?.postMessage(facts);

function said(text: string): string | undefined {
  return text === '' || text === 'unknown' ? undefined : text.slice(0, 200);
}
