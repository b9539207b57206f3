// The name of an instance: `<32 hex digits>-<row in base 36>-<saga>`. Its object and its row are found
// without an index; the hex part is 128 bits of chance, so that nobody comes upon somebody else's page.

const SAGA_ID = /^([0-9a-f]{32})-([0-9a-z]{1,11})-([A-Za-z][A-Za-z0-9_-]{0,63})$/;

export interface SagaId {
  readonly hex: string;
  readonly seq: number;
  readonly saga: string;
}

export function formatSagaId({ hex, seq, saga }: SagaId): string {
  return `${hex}-${seq.toString(36)}-${saga}`;
}

/** null: the text is no such name. */
export function parseSagaId(text: string): SagaId | null {
  const match = SAGA_ID.exec(text);
  if (match === null) return null;
  const seq = Number.parseInt(match[2], 36);
  const isExact = Number.isSafeInteger(seq) && seq > 0 && seq.toString(36) === match[2];
  return isExact ? { hex: match[1], seq, saga: match[3] } : null;
}

/** The name of an instance's executor: one for each run. At most 100 characters of [A-Za-z0-9_-]. */
export function executorId({ hex, seq }: SagaId, run: number): string {
  return `${hex}-${seq.toString(36)}-r${run}`;
}

/** Whether two texts of the same kind are equal, in time that does not depend on where they differ. */
export function equalInConstantTime(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let index = 0; index < one.length; index++) {
    difference |= one.charCodeAt(index) ^ other.charCodeAt(index % Math.max(1, other.length));
  }
  return difference === 0;
}
