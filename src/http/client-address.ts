// IP addresses as the identity of a client. One IPv6 customer has at least a /64 (RFC 6177), so addresses
// of one /64 are one user.

const IPV6_GROUPS = 8;
const USER_GROUPS = 4;
const GROUP = /^[0-9A-Fa-f]{1,4}$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** A run of groups as numbers; null when one is no group. A dotted IPv4 may stand at the end of the last. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (GROUP.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else if (mayEndInIpv4 && index === parts.length - 1 && IPV4.test(part)) {
      const [a, b, c, d] = part.split(".").map(Number);
      groups.push(a * 256 + b, c * 256 + d);
    } else {
      return null;
    }
  }
  return groups;
}

/** The eight groups of an IPv6 address in any of its notations (RFC 4291 2.2), or null. */
export function parseIpv6(address: string): readonly number[] | null {
  const gap = address.indexOf("::");
  if (gap === -1) {
    const groups = parseGroups(address, true);
    return groups?.length === IPV6_GROUPS ? groups : null;
  }
  const head = parseGroups(address.slice(0, gap), false);
  const tail = parseGroups(address.slice(gap + 2), true);
  if (head === null || tail === null) return null;
  const missing = IPV6_GROUPS - head.length - tail.length;
  return missing < 1 ? null : [...head, ...Array<number>(missing).fill(0), ...tail];
}

function mappedIpv4(groups: readonly number[]): string | null {
  if (groups[5] !== 0xffff || groups.slice(0, 5).some((group) => group !== 0)) return null;
  return `${groups[6] >> 8}.${groups[6] & 255}.${groups[7] >> 8}.${groups[7] & 255}`;
}

/**
 * The user that an address stands for: an IPv4 address as it is, an IPv4-mapped IPv6 address as its IPv4,
 * another IPv6 address as its /64 in canonical form (RFC 5952); "" for what is no address.
 */
export function addressUser(address: string): string {
  if (IPV4.test(address)) return address;
  const groups = parseIpv6(address);
  if (groups === null) return "";
  const ipv4 = mappedIpv4(groups);
  if (ipv4 !== null) return ipv4;
  let used = USER_GROUPS;
  while (used > 0 && groups[used - 1] === 0) used--;
  const prefix = groups.slice(0, used).map((group) => group.toString(16));
  return `${prefix.join(":")}::/64`;
}
