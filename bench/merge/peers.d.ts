// These packages ship no types; these are the few that the bench needs.
declare module "crdts" {
  export class GCounter {
    constructor(id: string, counter?: Record<string, number>);
    readonly value: number;
    increment(amount?: number): void;
    merge(other: GCounter): void;
    toJSON(): { id: string; counters: Record<string, number> };
    static from(json: { id: string; counters: Record<string, number> }): GCounter;
  }
}

declare module "delta-crdts" {
  type GCounterState = ReadonlyMap<string, number>;

  interface GCounterReplica {
    inc(): GCounterState;
    value(): number;
    apply(delta: GCounterState): GCounterState;
  }

  export default function crdt(type: "gcounter"): (id: string) => GCounterReplica;
}

declare module "delta-crdts-msgpack-codec" {
  type Coded = ReadonlyMap<string, ReadonlyMap<string, number>>;

  export function encode(value: Coded): Buffer;
  export function decode(bytes: Buffer): Coded;
}
