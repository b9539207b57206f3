// One order. Its state and what others hear of it change together.

import { OutboxObject, gatewayPublisher, type EventPublisher } from "tidegate/outbox";

export interface OrderBindings {
  readonly GATEWAY: Fetcher;
  readonly GATEWAY_TOKEN: string;
}

export interface Order {
  readonly state: "PLACED" | "PAID";
  readonly cents: number;
}

export class OrderObject extends OutboxObject<OrderBindings> {
  constructor(ctx: DurableObjectState, env: OrderBindings) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS orders (state TEXT NOT NULL, cents INTEGER NOT NULL)");
  }

  protected override publisher(): EventPublisher {
    return gatewayPublisher(this.env.GATEWAY, { token: this.env.GATEWAY_TOKEN });
  }

  protected override eventSource(): string {
    return `/orders/${encodeURIComponent(this.ctx.id.name ?? "")}`;
  }

  /** The order as it is, or null. */
  read(): Order | null {
    const rows = this.ctx.storage.sql
      .exec<{ state: Order["state"]; cents: number }>("SELECT state, cents FROM orders")
      .toArray();
    return rows[0] ?? null;
  }

  place(cents: number): Order {
    return this.transaction((sql, emit) => {
      const known = this.read();
      if (known !== null) return known;
      sql.exec("INSERT INTO orders (state, cents) VALUES ('PLACED', ?)", cents);
      emit("order.placed", { order: this.ctx.id.name, cents });
      return { state: "PLACED", cents };
    });
  }

  /** Null: there is no such order. Paying twice pays once. */
  pay(): Order | null {
    return this.transaction((sql, emit) => {
      const order = this.read();
      if (order === null || order.state === "PAID") return order;
      sql.exec("UPDATE orders SET state = 'PAID'");
      emit("order.paid", { order: this.ctx.id.name, cents: order.cents }, { subject: "order" });
      return { ...order, state: "PAID" };
    });
  }
}
