// Loaded into a sidecar with `--import` and `--expose-gc`: collects all garbage when it is asked to, and says
// what is left. It listens on the channel to the process that has started it, and on nothing else.
export interface HeapAnswer {
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  readonly rssBytes: number;
}

process.on("message", () => {
  // Twice: what finalizers let go of is garbage of the second round.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const answer: HeapAnswer = { heapUsedBytes: heapUsed, externalBytes: external, rssBytes: rss };
  process.send?.(answer);
});
