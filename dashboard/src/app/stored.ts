/** A value kept in `storage` under `key`, shared by every tab of this browser. */
export class Stored<T> {
  private value: T;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly key: string,
    private readonly empty: T,
    private readonly storage: Pick<Storage, "getItem" | "setItem">,
  ) {
    this.value = this.read();
  }

  readonly get = (): T => this.value;

  readonly set = (value: T) => {
    this.value = value;
    try {
      this.storage.setItem(this.key, JSON.stringify(value));
    } catch {
      // Full or forbidden storage: this tab goes on with what it holds in memory.
    }
    this.tell();
  };

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** Takes over what another tab wrote. */
  readonly reload = (changed: string | null) => {
    if (changed !== null && changed !== this.key) return;
    this.value = this.read();
    this.tell();
  };

  private read(): T {
    try {
      return (JSON.parse(this.storage.getItem(this.key) ?? "null") as T | null) ?? this.empty;
    } catch {
      return this.empty;
    }
  }

  private tell() {
    for (const listener of this.listeners) listener();
  }
}
