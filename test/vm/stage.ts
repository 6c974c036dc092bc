import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RealRegistry } from '../system/docker-registry.ts';
import { makeDisk, makeFileSystem, putPartition } from './disk.ts';
import type { Architecture } from './firmware.ts';
import { configureNode, ImageShop, makeKeys, makeVersion, seenByGuest, sizeForTree } from './images.ts';
import type { VmMachine } from './machines.ts';
import { moveNodeToPartition } from './root-tree.ts';
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
  /** The size of its slots: what an update needs of the booted one is hashed, all of it, by an emulated processor. */
  readonly slotMiB: number;
  /** The file system that has Node where no image brings it. */
  readonly nodeFile: string | undefined;
  readonly shop: ImageShop;
}

/** What a slot has behind its image. */
const tailMiB = 12;

/** Builds the root file system of each processor's nodes, as a folder. */
export type RootTrees = Readonly<Record<Architecture, () => Promise<string>>>;

/** Makes stages, each once; machines with loaders of one kind share their trees and images. */
export class Stages {
  readonly #work: string;
  readonly #rootTrees: RootTrees;
  readonly #keys: string;
  readonly #registry: RealRegistry;
  readonly #kinds = new Map<string, Promise<NodeKind>>();
  readonly #stages = new Map<string, Promise<Stage>>();
  readonly #trees = new Map<Architecture, Promise<string>>();
  readonly #keysMade = new Map<string, Promise<void>>();

  constructor(ports: { work: string; rootTrees: RootTrees; keys: string; registry: RealRegistry }) {
    this.#work = ports.work;
    this.#rootTrees = ports.rootTrees;
    this.#keys = ports.keys;
    this.#registry = ports.registry;
  }

  of(machine: VmMachine): Promise<Stage> {
    return remembered(this.#stages, machine.name, () => this.#build(machine));
  }

  async #build(machine: VmMachine): Promise<Stage> {
    const { loader } = machine;
    const kind = await remembered(this.#kinds, loader.kind, () => this.#buildKind(machine));
    const work = join(this.#work, fileName(machine.name));
    await mkdir(work);
    const baseDisk = join(work, 'base.img');
    await makeDisk(baseDisk, kind.slotMiB);
    await loader.install(baseDisk, kind.factoryTree, work);
    await putPartition(baseDisk, 'slot-a', kind.factoryFile);
    if (kind.nodeFile !== undefined) await putPartition(baseDisk, 'node', kind.nodeFile);
    return { machine, baseDisk, work, tree: kind.tree, factoryFile: kind.factoryFile, shop: kind.shop };
  }

  async #buildKind({ loader, firmware: { architecture } }: VmMachine): Promise<NodeKind> {
    const rootTree = await remembered(this.#trees, architecture, this.#rootTrees[architecture]);
    // Any kaon makes the keys, once for all kinds.
    await remembered(this.#keysMade, this.#keys, () => makeKeys(rootTree, this.#keys));
    const folder = join(this.#work, loader.kind);
    await mkdir(folder);
    const tree = join(folder, 'root');
    await shell(`cp -a ${rootTree} ${tree}`);
    const nodeFile = loader.isNodeInImage ? undefined : join(folder, 'node.img');
    if (nodeFile !== undefined) await moveNodeToPartition(tree, nodeFile);
    await configureNode(tree, loader, seenByGuest(this.#registry), this.#keys);
    const factoryTree = join(folder, 'factory');
    await makeVersion(tree, factoryTree, 'v1', 'healthy');
    const factoryFile = join(folder, 'factory.img');
    const factoryMiB = await sizeForTree(factoryTree);
    await makeFileSystem(factoryTree, factoryFile, factoryMiB, 'read-only');
    const shop = new ImageShop({ loader, folder, tree, keys: this.#keys, registry: this.#registry });
    return { tree, factoryFile, factoryTree, slotMiB: factoryMiB + tailMiB, nodeFile, shop };
  }
}

/** A name as part of a path. */
export function fileName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

/** What `make` resolved to for `key`, made once. */
function remembered<K, T>(made: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const known = made.get(key);
  if (known !== undefined) return known;
  const making = make();
  made.set(key, making);
  return making;
}
