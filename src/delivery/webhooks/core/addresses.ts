// Which IP addresses are public: those to which a request may go that somebody else has configured.
// Everything that leads into a network of one's own, to a machine itself, to nowhere, or that holds another
// address inside (and so could hide one) is none. IANA's special-purpose registries (RFC 6890 and
// successors).

import { parseIpv6 } from "../../../http/client-address.ts";

/** Blocks of IPv4 that are not public: first address, bits of the prefix. */
const IPV4_BLOCKS: readonly (readonly [address: string, bits: number])[] = [
  ["0.0.0.0", 8], // this network
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // carriers' NAT
  ["127.0.0.0", 8], // loopback
  ["169.254.0.0", 16], // link-local, metadata of clouds
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved, broadcast
];

/** Of IPv6 only 2000::/3 is unicast of the whole world, but for these blocks of it. */
const IPV6_GLOBAL = { address: "2000::", bits: 3 };
const IPV6_BLOCKS: readonly (readonly [address: string, bits: number])[] = [
  ["2001::", 23], // protocol assignments; Teredo holds an IPv4 address
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4 holds an IPv4 address
  ["3fff::", 20], // documentation
];

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
const LOOPBACK_IPV4 = /^127\./;

function ipv4Number(text: string): number | null {
  const parts = IPV4.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return null;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

function isInIpv4(address: number, block: number, bits: number): boolean {
  const size = 2 ** (32 - bits);
  return Math.floor(address / size) === Math.floor(block / size);
}

function isInIpv6(groups: readonly number[], block: readonly number[], bits: number): boolean {
  return block.every((group, index) => {
    const own = Math.min(Math.max(bits - index * 16, 0), 16);
    const shift = 16 - own;
    return groups[index] >> shift === group >> shift;
  });
}

function blockOf(address: string): readonly number[] {
  const groups = parseIpv6(address);
  if (groups === null) throw new Error(`${address} is no IPv6 address`);
  return groups;
}

const GLOBAL_BLOCK = blockOf(IPV6_GLOBAL.address);
const PARSED_IPV6 = IPV6_BLOCKS.map(([address, bits]) => [blockOf(address), bits] as const);
const PARSED_IPV4 = IPV4_BLOCKS.map(([address, bits]) => [ipv4Number(address) ?? 0, bits] as const);

/** Whether an address is public: IPv4 in four decimal parts, or IPv6 without brackets. No address is not. */
export function isPublicAddress(text: string): boolean {
  const ipv4 = ipv4Number(text);
  if (ipv4 !== null) return !PARSED_IPV4.some(([block, bits]) => isInIpv4(ipv4, block, bits));
  const groups = parseIpv6(text);
  if (groups === null || !isInIpv6(groups, GLOBAL_BLOCK, IPV6_GLOBAL.bits)) return false;
  return !PARSED_IPV6.some(([block, bits]) => isInIpv6(groups, block, bits));
}

/** Whether an address is this machine's own. */
export function isLoopbackAddress(text: string): boolean {
  if (ipv4Number(text) !== null) return LOOPBACK_IPV4.test(text);
  return parseIpv6(text)?.join(":") === "0:0:0:0:0:0:0:1";
}
