// A small seeded random source (xoshiro128**, Blackman and Vigna 2018), so that decisions take
// randomness as an argument and a simulation can be repeated from its seed. Not for secrets.

export interface RandomSource {
  readonly words: Uint32Array;
}

/** A source from one 32-bit seed, spread over the state with splitmix32. */
export function createRandom(seed: number): RandomSource {
  const words = new Uint32Array(4);
  let state = seed >>> 0;
  for (let index = 0; index < words.length; index++) {
    state = (state + 0x9e3779b9) >>> 0;
    words[index] = mix32(state);
  }
  return { words };
}

/** The next 32 random bits as an unsigned integer. */
export function nextUint32(random: RandomSource): number {
  const { words } = random;
  const w0 = words[0];
  const w1 = words[1];
  const w2 = words[2] ^ w0;
  const w3 = words[3] ^ w1;
  words[0] = w0 ^ w3;
  words[1] = w1 ^ w2;
  words[2] = w2 ^ (w1 << 9);
  words[3] = rotateLeft(w3, 11);
  const scrambled = Math.imul(rotateLeft(Math.imul(w1, 5), 7), 9);
  return scrambled >>> 0;
}

/** Uniform in [0, 1). */
export function nextRandom(random: RandomSource): number {
  return nextUint32(random) * 2 ** -32;
}

/** Murmur3's finalizer: every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
