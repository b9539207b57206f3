// Leases for probes: who may call an upstream that is being tried again. A lease is a number that
// comes back with the result; one that never comes back ends by itself. Bounded by
// MAX_OUTSTANDING_PROBES; a number is not given out twice within LEASE_NUMBERS leases.

export const MAX_OUTSTANDING_PROBES = 16;
export const LEASE_NUMBERS = 1024;
const FREE = 0;

export interface ProbeLeases {
  readonly numbers: Int32Array;
  readonly expiries: Float64Array;
  lastNumber: number;
}

export function createProbeLeases(): ProbeLeases {
  return {
    numbers: new Int32Array(MAX_OUTSTANDING_PROBES),
    expiries: new Float64Array(MAX_OUTSTANDING_PROBES),
    lastNumber: 0,
  };
}

/** A lease number from 1 to LEASE_NUMBERS - 1, or 0 when `allowed` are outstanding. Ends expired ones. */
export function takeLease(leases: ProbeLeases, allowed: number, now: number, leaseMs: number): number {
  const { numbers, expiries } = leases;
  let outstanding = 0;
  let free = -1;
  for (let slot = 0; slot < MAX_OUTSTANDING_PROBES; slot++) {
    if (numbers[slot] !== FREE && expiries[slot] <= now) numbers[slot] = FREE;
    if (numbers[slot] !== FREE) outstanding++;
    else if (free < 0) free = slot;
  }
  if (free < 0 || outstanding >= allowed) return FREE;
  leases.lastNumber = (leases.lastNumber % (LEASE_NUMBERS - 1)) + 1;
  numbers[free] = leases.lastNumber;
  expiries[free] = now + leaseMs;
  return leases.lastNumber;
}

/** Lets an outstanding lease last until `now + leaseMs`. */
export function renewLease(leases: ProbeLeases, number: number, now: number, leaseMs: number): void {
  const slot = number === FREE ? -1 : leases.numbers.indexOf(number);
  if (slot >= 0) leases.expiries[slot] = now + leaseMs;
}

/** Ends a lease. False when it is not outstanding: expired and given to somebody else, or returned before. */
export function returnLease(leases: ProbeLeases, number: number): boolean {
  const slot = number === FREE ? -1 : leases.numbers.indexOf(number);
  if (slot < 0) return false;
  leases.numbers[slot] = FREE;
  return true;
}
