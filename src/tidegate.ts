// What `import ... from "tidegate"` gives to a configuration file: types and `defineGateway`, nothing heavy.

export { defineGateway } from "./config/gateway-config.ts";
export type {
  BreakerConfig,
  ConsumerConfig,
  CounterConfig,
  Duration,
  FallbackConfig,
  GatewayConfig,
  HeaderEditConfig,
  LimitConfig,
  Priority,
  QueueConfig,
  QueueRetryConfig,
  RetryConfig,
  RouteConcurrencyConfig,
  RouteConfig,
  SecretReference,
  Size,
  TargetConfig,
  TenantConfig,
  UpstreamConcurrencyConfig,
  UpstreamConfig,
} from "./config/gateway-config.ts";
export type { ReactionConfig } from "./config/reaction-config.ts";
export type { RelayConfig } from "./config/relay-config.ts";
export type {
  SagaBody,
  SagaCompensationConfig,
  SagaConfig,
  SagaRequestConfig,
  SagaRetryConfig,
  SagaStepConfig,
} from "./config/saga-config.ts";
