// A bound on how long a fetch may take until its response headers. The timer ends there: a body may
// stream for as long as it likes. A fetch that is given up is not aborted here, because a signal on every
// fetch costs workerd a tenth of the whole request; the runtime ends it together with the request.

export const TIMED_OUT: unique symbol = Symbol("timed out");

/** The answer, or TIMED_OUT after `timeoutMs`. Rejects as the fetch does. A late answer is discarded. */
export function within(timeoutMs: number, fetched: Promise<Response>): Promise<Response | typeof TIMED_OUT> {
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      resolve(TIMED_OUT);
    }, timeoutMs);
    fetched.then(
      (response) => {
        if (late) {
          response.body?.cancel().catch(() => {});
          return;
        }
        clearTimeout(timer);
        resolve(response);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
