// Calls of Durable Objects, from isolates and from hubs alike: how an object is reached, a deadline for each.

/** The part of a namespace's binding that is used here; the runtime's own type fits. */
export interface Namespace<Stub> {
  idFromName(name: string): unknown;
  get(id: unknown, options?: { locationHint?: string }): Stub;
}

/** Whether a binding is a namespace; of which objects, only its name says. */
export function isNamespace<Stub>(value: unknown): value is Namespace<Stub> {
  return typeof value === "object" && value !== null && "idFromName" in value && "get" in value;
}

/** What a call answers, or null after `ms` or any failure. An answer that comes later is dropped. */
export function answerWithin<Answer>(ms: number, call: Promise<Answer>): Promise<Answer | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), ms);
    const settle = (answer: Answer | null): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    call.then(settle, () => settle(null));
  });
}
