/** The firmware's variables, as bytes with their attributes before them. Each change is whole and durable, or not made. */
export interface EfiVariables {
  /** The names of the variables under `guid`. Rejects with `boot-env-unreadable`. */
  list(guid: string): Promise<readonly string[]>;
  /** A variable, or `undefined` where there is none. Rejects with `boot-env-unreadable`. */
  read(name: string, guid: string): Promise<Uint8Array | undefined>;
  /** Rejects with `boot-env-write-failed`. */
  write(name: string, guid: string, bytes: Uint8Array): Promise<void>;
  /** Removes a variable, or nothing where there is none. Rejects with `boot-env-write-failed`. */
  remove(name: string, guid: string): Promise<void>;
  /** Runs `change` while no other process of ours can change the variables. */
  locked<T>(change: () => Promise<T>): Promise<T>;
}
