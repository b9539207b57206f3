// What a call to an upstream can amount to. Everything that measures calls takes one of these. Of the two
// failures a remote one is the upstream's own; a local one happened on our side of the wire (DNS, connect,
// TLS, our timeout) and says nothing about how others see the upstream.

export const Outcome = { ok: 0, failRemote: 1, failLocal: 2, ignored: 3 } as const;

export type Outcome = (typeof Outcome)[keyof typeof Outcome];
