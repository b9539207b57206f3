// A client's `x-request-id` is kept only when it is harmless in a header, a log line and a problem body.

const ACCEPTABLE = /^[A-Za-z0-9._-]{1,128}$/;

/** Whether an inbound request id is 1-128 characters of `[A-Za-z0-9._-]`. */
export function isAcceptableRequestId(value: string): boolean {
  return ACCEPTABLE.test(value);
}
