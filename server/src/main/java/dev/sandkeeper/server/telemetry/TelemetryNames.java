package dev.sandkeeper.server.telemetry;

import io.opentelemetry.api.common.AttributeKey;

/**
 * Every name of a metric, a span or an attribute. Units are UCUM's. Ids that grow without bound
 * stay off metrics.
 */
final class TelemetryNames {
  /** The instrumentation scope. */
  static final String SCOPE = "dev.sandkeeper.server";

  static final String COST_TOTAL = "sandkeeper.cost.total";
  static final String COST_PER_SANDBOX = "sandkeeper.cost.per_sandbox";
  static final String EXECUTION_DURATION = "sandkeeper.execution.duration";
  static final String RESOURCE_CPU_SECONDS = "sandkeeper.resource.cpu_seconds";
  static final String RESOURCE_MEMORY_GIB_SECONDS = "sandkeeper.resource.memory_gib_seconds";
  static final String SANDBOX_CREATE_DURATION = "sandkeeper.sandbox.create.duration";
  static final String SANDBOX_CREATE_TOTAL = "sandkeeper.sandbox.create.total";
  static final String SANDBOX_TERMINATE_TOTAL = "sandkeeper.sandbox.terminate.total";
  static final String SANDBOX_ACTIVE = "sandkeeper.sandbox.active";
  static final String SANDBOX_ORPHANED_TOTAL = "sandkeeper.sandbox.orphaned.total";
  static final String SANDBOX_LIFETIME = "sandkeeper.sandbox.lifetime";
  static final String QUOTA_UTILIZATION = "sandkeeper.quota.utilization";
  static final String QUOTA_LIMIT = "sandkeeper.quota.limit";
  static final String QUOTA_SPENT = "sandkeeper.quota.spent";
  static final String QUOTA_RESERVED = "sandkeeper.quota.reserved";
  static final String QUOTA_EXCEEDED_TOTAL = "sandkeeper.quota.exceeded.total";
  static final String ERRORS_TOTAL = "sandkeeper.errors.total";
  static final String CLEANUP_DURATION = "sandkeeper.cleanup.duration";
  static final String CLEANUP_FAILED_TOTAL = "sandkeeper.cleanup.failed.total";
  static final String ENGINE_CALL_DURATION = "sandkeeper.engine.call.duration";
  static final String ENGINE_CALL_TOTAL = "sandkeeper.engine.call.total";
  static final String ENGINE_FAILOVER_TOTAL = "sandkeeper.engine.failover.total";
  static final String ENGINE_BREAKER_STATE = "sandkeeper.engine.breaker.state";
  static final String ENGINE_HEALTHY = "sandkeeper.engine.healthy";
  static final String ENGINE_RECONCILED_TOTAL = "sandkeeper.engine.reconciled.total";
  static final String ENGINE_DRIFT = "sandkeeper.engine.drift";
  static final String ENGINE_STARTING = "sandkeeper.engine.starting";
  static final String LEDGER_BATCH_SIZE = "sandkeeper.ledger.batch.size";
  static final String LEDGER_LATENCY = "sandkeeper.ledger.latency";
  static final String CONNECTION_ACTIVE = "sandkeeper.connection.active";
  static final String CONNECTION_REFUSED_TOTAL = "sandkeeper.connection.refused.total";
  static final String RATE_LIMITED_TOTAL = "sandkeeper.rate_limited.total";
  static final String PORT_CONNECTION_ACTIVE = "sandkeeper.port.connection.active";
  static final String PORT_CONNECTION_TOTAL = "sandkeeper.port.connection.total";
  static final String PORT_REFUSED_TOTAL = "sandkeeper.port.refused.total";
  static final String STREAM_ACTIVE = "sandkeeper.stream.active";
  static final String REPLICA_ACTIVE = "sandkeeper.replica.active";
  static final String CERTIFICATE_EXPIRY = "sandkeeper.certificate.expiry";
  static final String CERTIFICATE_RELOAD_TOTAL = "sandkeeper.certificate.reload.total";
  static final String ALERT_ATTEMPT_TOTAL = "sandkeeper.alert.attempt.total";
  static final String ALERT_GIVEN_UP_TOTAL = "sandkeeper.alert.given_up.total";
  static final String ALERT_PENDING = "sandkeeper.alert.pending";
  static final String EGRESS_CONNECTION_ACTIVE = "sandkeeper.egress.connection.active";
  static final String EGRESS_CONNECTION_TOTAL = "sandkeeper.egress.connection.total";

  static final String USD = "{USD}";
  static final String SECONDS = "s";
  static final String GIB_SECONDS = "{GiB.s}";
  static final String RATIO = "1";

  static final AttributeKey<String> TENANT = AttributeKey.stringKey("tenant");
  static final AttributeKey<String> KIND = AttributeKey.stringKey("kind");
  static final AttributeKey<String> TIER = AttributeKey.stringKey("tier");
  static final AttributeKey<String> ENGINE = AttributeKey.stringKey("engine");
  static final AttributeKey<String> TO_ENGINE = AttributeKey.stringKey("to_engine");
  static final AttributeKey<String> OPERATION = AttributeKey.stringKey("operation");
  static final AttributeKey<String> LANGUAGE = AttributeKey.stringKey("language");
  static final AttributeKey<String> OUTCOME = AttributeKey.stringKey("outcome");
  static final AttributeKey<String> DIRECTION = AttributeKey.stringKey("direction");
  static final AttributeKey<String> START = AttributeKey.stringKey("start");
  static final AttributeKey<Boolean> SUCCESS = AttributeKey.booleanKey("success");
  static final AttributeKey<String> REASON = AttributeKey.stringKey("reason");
  static final AttributeKey<String> STATE = AttributeKey.stringKey("state");
  static final AttributeKey<String> SCOPE_KIND = AttributeKey.stringKey("scope_kind");
  static final AttributeKey<String> SPEND_KIND = AttributeKey.stringKey("spend_kind");
  static final AttributeKey<String> PERIOD = AttributeKey.stringKey("period");
  static final AttributeKey<String> LIMIT_KIND = AttributeKey.stringKey("limit_kind");
  static final AttributeKey<String> ERROR_TYPE = AttributeKey.stringKey("error_type");

  // Names of the semantic conventions, of spans.
  static final AttributeKey<String> RPC_SYSTEM = AttributeKey.stringKey("rpc.system");
  static final AttributeKey<String> RPC_SERVICE = AttributeKey.stringKey("rpc.service");
  static final AttributeKey<String> RPC_METHOD = AttributeKey.stringKey("rpc.method");
  static final AttributeKey<Long> RPC_GRPC_STATUS_CODE =
      AttributeKey.longKey("rpc.grpc.status_code");
  static final AttributeKey<String> HTTP_REQUEST_METHOD =
      AttributeKey.stringKey("http.request.method");
  static final AttributeKey<String> HTTP_ROUTE = AttributeKey.stringKey("http.route");
  static final AttributeKey<Long> HTTP_RESPONSE_STATUS_CODE =
      AttributeKey.longKey("http.response.status_code");
  static final AttributeKey<String> SPAN_ERROR_TYPE = AttributeKey.stringKey("error.type");

  private TelemetryNames() {}
}
