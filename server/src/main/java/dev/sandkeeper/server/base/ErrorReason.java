package dev.sandkeeper.server.base;

/**
 * Why a call was refused or failed. The name is the contract: it is sent as the reason of
 * google.rpc.ErrorInfo. Which canonical code each has is the api's affair.
 */
public enum ErrorReason {
  /** A field of the request is wrong; the violations name each. */
  INVALID_FIELD,
  /** No credentials came, or none that are known, unexpired and unrevoked. */
  INVALID_CREDENTIALS,
  /** The key is good but lacks the scope. */
  SCOPE_MISSING,
  /** A policy of the sandbox or its template denies the command or code. */
  COMMAND_DENIED,
  /** No such sandbox, or another tenant's, or another agent's. */
  SANDBOX_NOT_FOUND,
  /** No such execution, or not one the caller may see. */
  EXECUTION_NOT_FOUND,
  /** The sandbox has no context of that id. */
  CONTEXT_NOT_FOUND,
  /** No template of that name. */
  TEMPLATE_NOT_FOUND,
  /** No such tenant. */
  TENANT_NOT_FOUND,
  /** No such limit. */
  LIMIT_NOT_FOUND,
  /** No such API key. */
  API_KEY_NOT_FOUND,
  /** No such cost record, or it is no longer kept. */
  COST_RECORD_NOT_FOUND,
  /** No such hold. */
  HOLD_NOT_FOUND,
  /** No such webhook. */
  WEBHOOK_NOT_FOUND,
  /** The tenant has no secret of that name. */
  SECRET_NOT_FOUND,
  /** No price is in force at the time asked for. */
  PRICE_NOT_FOUND,
  /** No such file or directory in the sandbox. */
  FILE_NOT_FOUND,
  /** The execution's artifacts are no longer kept. */
  ARTIFACTS_NOT_KEPT,
  /** The request id was used before for a request with other content. */
  REQUEST_ID_REUSED,
  /** The request id was used before, for something whose cost record is no longer kept. */
  REQUEST_ID_EXPIRED,
  /** What was to be created exists. */
  ALREADY_EXISTS,
  /** The sandbox has ended, is ending or has not started. */
  SANDBOX_NOT_RUNNING,
  /** The sandbox is paused, and the call needs it to run. */
  SANDBOX_PAUSED,
  /** Another server runs the sandbox; its name is in the metadata as nodeId. */
  SANDBOX_ELSEWHERE,
  /**
   * This server was silent for too long, and another one has taken the sandbox over and ends it.
   */
  SANDBOX_TAKEN_OVER,
  /** The sandbox's template has no interpreter for the language of the code. */
  INTERPRETER_MISSING,
  /** The template names a runtime that this server does not have. */
  RUNTIME_MISSING,
  /** A template, a sandbox or the configuration names an engine that this server does not have. */
  ENGINE_MISSING,
  /** The execution is over, and takes nothing more. */
  EXECUTION_FINISHED,
  /** The execution was started without keeping its standard input open. */
  INPUT_NOT_OPEN,
  /** The execution's standard input was closed, by a call or by the program. */
  INPUT_CLOSED,
  /** The execution was started without a selection of artifacts. */
  ARTIFACTS_NOT_SELECTED,
  /** The execution has no terminal. */
  NO_TERMINAL,
  /** The hold was settled or released before, otherwise than asked for now. */
  HOLD_ENDED,
  /** A cost record cannot be corrected so. */
  CORRECTION_REFUSED,
  /** No price is in force for the model. */
  NO_PRICE_FOR_MODEL,
  /** No price is in force for the tier, so nothing may start. */
  NO_PRICE_FOR_TIER,
  /** A price would start before the longest lease already given could end, or overlap another. */
  PRICE_START_REFUSED,
  /** A file operation met something of another kind, a missing permission or the like. */
  FILE_REFUSED,
  /** The webhook was disabled, for good. */
  WEBHOOK_DISABLED,
  /** The server has no key to encrypt secrets by. */
  NO_KEY_FOR_SECRETS,
  /** The secret was encrypted by another key than the server has. */
  SECRET_UNREADABLE,
  /** A limit has not enough left. */
  QUOTA_EXCEEDED,
  /** An engine runs as many sandboxes as it may, of all tenants and servers together. */
  ENGINE_FULL,
  /** The tenant has as many limits as it may have. */
  TOO_MANY_LIMITS,
  /** The sandbox has as many contexts as it may. */
  TOO_MANY_CONTEXTS,
  /** More bytes than the operation allows, or the sandbox's disk is full. */
  SIZE_LIMIT_EXCEEDED,
  /** More at once than the server allows. */
  TOO_MANY_REQUESTS,
  /** A key calls faster than it may, or too many calls from an address bring no key that works. */
  RATE_LIMITED,
  /** As many connections to ports of the sandbox are open as may be. */
  TOO_MANY_CONNECTIONS,
  /** As much input waits as may, for a program that does not read. */
  INPUT_FULL,
  /** The tenant has as many webhooks as it may. */
  TOO_MANY_WEBHOOKS,
  /** The tenant has as many secrets as it may, or the sandbox was given as many. */
  TOO_MANY_SECRETS,
  /** There are as many templates as there may be. */
  TOO_MANY_TEMPLATES,
  /** A report has more rows than one may have. */
  REPORT_TOO_LARGE,
  /** The events asked for are no longer kept. */
  SEQUENCE_NOT_KEPT,
  /** Input behind what was sent so far; the next offset is in the metadata as nextOffset. */
  INPUT_GAP,
  /** Another call changed the same thing first. */
  CONCURRENT_CHANGE,
  /** Nothing in the sandbox listens on the port. */
  PORT_NOT_OPEN,
  /** What listens on the port broke off before it had answered, or does not speak HTTP/1.1. */
  PORT_FAILED,
  /** The engine cannot be reached or cannot start sandboxes now. */
  ENGINE_UNAVAILABLE,
  /** The database cannot be reached. */
  DATABASE_UNAVAILABLE,
  /** The server is shutting down. */
  SHUTTING_DOWN,
  /** The call took longer than its deadline. */
  DEADLINE_EXCEEDED,
  /** A bug; the log of the server has the rest. */
  INTERNAL
}
