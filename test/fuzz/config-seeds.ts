import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { bytesOf } from './target.ts';

/** The shortest sound configuration, setting by setting. */
const least: Readonly<Record<string, string>> = {
  formatVersion: 'formatVersion: 1\n',
  node: 'node: {compatible: x}\n',
  slots: 'slots: {a: {bootName: A, partitions: {r: {device: /a}}}, b: {bootName: B, partitions: {r: {device: /b}}}}\n',
  bootloader: 'bootloader: {type: grub, environment: /g}\n',
};

/** Settings that the example has in its comments alone. */
const others: readonly string[] = [
  'node: &a {id: x, compatible: y}\nslots: {a: *a}\n',
  'bootloader: {type: systemd-boot, esp: {path: /efi}, xbootldr: {device: /x}, entries: type2, tries: 3}\n',
  'bootloader: {type: uboot, environment: /etc/fw_env.config, dialect: rauc, flags: sequence, defaults: /d}\n',
  'bootloader: {type: gpt, disk: /d, partitions: {a: 6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a01, b: 6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a02}}\n',
  'bootloader: {type: tryboot, file: /boot/autoboot.txt, partitions: {a: 2, b: 3}}\n',
  'bootloader: {type: efi, entries: {a: "kaon A", b: Boot0001}}\n',
  'trust:\n  identities: {ci: {issuer: "https://i", subject: "https://s"}}\n  trustedRoot: /r\n  revoked: [k]\n  rules:\n' +
    '    - {prefix: a/b, require: {identities: [ci], maxAge: 90d}, requireTransparencyLog: true, requireProvenance: ' +
    '{identities: [ci], builder: b, buildType: t, source: {repository: r, ref: f}, parameters: {a.b: c}}}\n',
  'registries:\n  a.test: {clientCertFile: /c, clientKeyFile: /k, proxy: "http://p:3128", noProxy: [.lan], mirrors: ' +
    '[c.lan:5000, {location: d.test/x, prefix: os, tags: true}]}\n  b.test: {insecureHttp: true}\nregistriesConf: null\n',
  'health: {checks: [{name: k, kind: kubelet}, {name: n, kind: kubernetes-node}, {name: g, kind: greenboot}, ' +
    '{name: s, kind: systemd-state, ignore: [a.service]}, {name: h, kind: http, url: "https://h/", caFile: /c}]}\n',
  'update: {download: {rateLimit: 4MiB/s}, metered: {rule: wait, limit: 50MiB}}\n',
];

/** The settings of a configuration by their names, each with its name and what lies below it. */
function settingsOf(text: string): Readonly<Record<string, string>> {
  const parts = text.split(/^(?=\w)/m).filter((part) => part !== '');
  return Object.fromEntries(parts.map((part) => [part.slice(0, part.indexOf(':')), part]));
}

const example = readFileSync(new URL('../../examples/kaon.yaml', import.meta.url), 'utf8');
const bare = example
  .split('\n')
  .filter((line) => !/^\s*(#|$)/.test(line))
  .map((line) => `${line.replace(/\s+#.*$/, '')}\n`)
  .join('');

const documents = [
  ...Object.entries(settingsOf(bare)).map(([name, text]) => ({ [name]: text })),
  ...others.map(settingsOf),
].map((settings) => Object.values({ ...least, ...settings }).join(''));

/**
 * The example without its comments, and each of its settings by itself beside the shortest that is sound: reading YAML
 * takes the time of a run, and goes by the length of a document. All of them as JSON as well, which is YAML, and is
 * changed value by value.
 */
export const configSeeds: readonly Uint8Array[] = [
  bare,
  ...documents,
  ...documents.map((text) => JSON.stringify(parse(text))),
].map(bytesOf);
