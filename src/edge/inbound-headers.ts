// The fields of a request that decisions need, read in one pass. Asking a Headers object field by field
// costs more in workerd than walking it once, and the walk also gives the total size.

/** More header bytes than this are refused with 431. */
export const MAX_HEADER_BYTES = 64 * 1024;

export class InboundHeaders {
  bytes = 0;
  host: string | null = null;
  via: string | null = null;
  connection: string | null = null;
  upgrade: string | null = null;
  priority: string | null = null;
  traceparent: string | null = null;
  tracestate: string | null = null;
  idempotencyKey: string | null = null;
  contentLength: string | null = null;
  requestId: string | null = null;
  apiKey: string | null = null;
  clientAddress: string | null = null;
  forwardedFor: string | null = null;
  forwardedProto: string | null = null;
  forwardedHost: string | null = null;
  deadline: string | null = null;
  trafficClass: string | null = null;
  prefer: string | null = null;
  adminToken: string | null = null;
  explain: string | null = null;
  /** The last of the hop-by-hop fields besides `connection` and `upgrade`; null when there is none. */
  hopByHop: string | null = null;
  /** Fields that must not reach the upstream; null while there is none. */
  private: string[] | null = null;
}

type Field = Exclude<keyof InboundHeaders, "bytes" | "private">;

const FIELDS = new Map<string, Field>([
  ["host", "host"],
  ["via", "via"],
  ["connection", "connection"],
  ["upgrade", "upgrade"],
  ["priority", "priority"],
  ["traceparent", "traceparent"],
  ["tracestate", "tracestate"],
  ["idempotency-key", "idempotencyKey"],
  ["content-length", "contentLength"],
  ["x-request-id", "requestId"],
  ["x-api-key", "apiKey"],
  ["cf-connecting-ip", "clientAddress"],
  ["x-forwarded-for", "forwardedFor"],
  ["x-forwarded-proto", "forwardedProto"],
  ["x-forwarded-host", "forwardedHost"],
  ["x-tidegate-deadline-ms", "deadline"],
  ["x-tidegate-class", "trafficClass"],
  ["prefer", "prefer"],
  ["x-tidegate-admin", "adminToken"],
  ["x-tidegate-explain", "explain"],
  ["te", "hopByHop"],
  ["keep-alive", "hopByHop"],
  ["proxy-connection", "hopByHop"],
  ["transfer-encoding", "hopByHop"],
  ["trailer", "hopByHop"],
  ["proxy-authorization", "hopByHop"],
  ["proxy-authenticate", "hopByHop"],
  ["expect", "hopByHop"],
]);

const PRIVATE_PREFIX = "x-tidegate-";

/** Where `readField` puts what it reads: a callback for each request would be an allocation for each. */
let reading = new InboundHeaders();

/** Reads everything that the pipeline wants to know. */
export function readInboundHeaders(headers: Headers): InboundHeaders {
  const inbound = new InboundHeaders();
  reading = inbound;
  headers.forEach(readField);
  return inbound;
}

function readField(value: string, name: string): void {
  reading.bytes += name.length + value.length;
  const field = FIELDS.get(name);
  if (field !== undefined) reading[field] = value;
  if (name.startsWith(PRIVATE_PREFIX)) (reading.private ??= []).push(name);
}
