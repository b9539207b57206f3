// opossum ships no types; these are the few that the bench needs.
declare module "opossum" {
  interface Options {
    readonly timeout: number | false;
    readonly resetTimeout?: number;
  }

  export default class CircuitBreaker<Result> {
    constructor(action: () => Promise<Result>, options: Options);
    fire(): Promise<Result>;
    open(): void;
  }
}
