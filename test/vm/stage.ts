import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RealRegistry } from '../system/docker-registry.ts';
import { makeDisk, makeFileSystem, partitions, putPartition } from './disk.ts';
import { configureNode, ImageShop, makeVersion, seenByGuest } from './images.ts';
import type { VmLoader } from './loader.ts';
import type { VmMachine } from './machines.ts';
import { shell } from './shell.ts';

/** What all scenarios on one machine begin from. */
export interface Stage {
  readonly machine: VmMachine;
  /** A disk with the factory's system in slot a, which is copied. */
  readonly baseDisk: string;
  /** The factory's file system, as slot a has it. */
  readonly factoryFile: string;
  /** The root file system of its nodes, as a folder. */
  readonly tree: string;
  readonly work: string;
  readonly shop: ImageShop;
}

interface NodeKind {
  readonly tree: string;
  readonly factoryFile: string;
  readonly factoryTree: string;
  readonly shop: ImageShop;
}

/** Makes stages, each once; machines with loaders of one kind share their trees and images. */
export class Stages {
  readonly #work: string;
  readonly #rootTree: string;
  readonly #keys: string;
  readonly #registry: RealRegistry;
  readonly #kinds = new Map<string, Promise<NodeKind>>();
  readonly #stages = new Map<string, Promise<Stage>>();

  constructor(ports: { work: string; rootTree: string; keys: string; registry: RealRegistry }) {
    this.#work = ports.work;
    this.#rootTree = ports.rootTree;
    this.#keys = ports.keys;
    this.#registry = ports.registry;
  }

  of(machine: VmMachine): Promise<Stage> {
    return remembered(this.#stages, machine.name, () => this.#build(machine));
  }

  async #build(machine: VmMachine): Promise<Stage> {
    const { loader } = machine;
    const kind = await remembered(this.#kinds, loader.kind, () => this.#buildKind(loader));
    const work = join(this.#work, fileName(machine.name));
    await mkdir(work);
    const baseDisk = join(work, 'base.img');
    await makeDisk(baseDisk);
    await loader.install(baseDisk, kind.factoryTree, work);
    await putPartition(baseDisk, 'slot-a', kind.factoryFile);
    return { machine, baseDisk, work, tree: kind.tree, factoryFile: kind.factoryFile, shop: kind.shop };
  }

  async #buildKind(loader: VmLoader): Promise<NodeKind> {
    const folder = join(this.#work, loader.kind);
    await mkdir(folder);
    const tree = join(folder, 'root');
    await shell(`cp -a ${this.#rootTree} ${tree}`);
    await configureNode(tree, loader, seenByGuest(this.#registry), this.#keys);
    const factoryTree = join(folder, 'factory');
    await makeVersion(tree, factoryTree, 'v1', 'healthy');
    const factoryFile = join(folder, 'factory.img');
    await makeFileSystem(factoryTree, factoryFile, partitions['slot-a'].sizeMiB, 'read-only');
    const shop = new ImageShop({ loader, folder, tree, keys: this.#keys, registry: this.#registry });
    return { tree, factoryFile, factoryTree, shop };
  }
}

/** A name as part of a path. */
export function fileName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

/** What `make` resolved to for `key`, made once. */
function remembered<T>(made: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = made.get(key);
  if (known !== undefined) return known;
  const making = make();
  made.set(key, making);
  return making;
}
