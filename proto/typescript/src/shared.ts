// What both entry points offer beside `connect`.
export { Code as StatusCode } from "@connectrpc/connect";
export type { CallOptions, CreateSandboxOptions, DownloadOptions, ExecuteOptions, Run } from "./client.js";
export type { FieldViolation } from "./errors.js";
export { QuotaExceededError, SandkeeperError } from "./errors.js";
export type { ExecutionStream, FollowOptions, OutputHandlers } from "./execution.js";
export * from "./gen/sandkeeper/v1/admin_service_pb.js";
export * from "./gen/sandkeeper/v1/audit_service_pb.js";
export * from "./gen/sandkeeper/v1/cost_service_pb.js";
export * from "./gen/sandkeeper/v1/execution_pb.js";
export * from "./gen/sandkeeper/v1/execution_service_pb.js";
export * from "./gen/sandkeeper/v1/file_service_pb.js";
export * from "./gen/sandkeeper/v1/options_pb.js";
export * from "./gen/sandkeeper/v1/pricing_service_pb.js";
export * from "./gen/sandkeeper/v1/quota_service_pb.js";
export * from "./gen/sandkeeper/v1/sandbox_pb.js";
export * from "./gen/sandkeeper/v1/sandbox_service_pb.js";
export * from "./gen/sandkeeper/v1/template_service_pb.js";
