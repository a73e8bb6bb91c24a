package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.CostReportQuery;
import dev.sandkeeper.server.ledger.CostReportRow;
import dev.sandkeeper.server.ledger.GroupBy;
import dev.sandkeeper.server.ledger.Spend;
import dev.sandkeeper.server.ledger.TimeBucket;
import dev.sandkeeper.v1.GetCostReportRequest;
import dev.sandkeeper.v1.GetCostReportResponse;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Cost reports on the wire. */
final class CostReportMapper {
  private CostReportMapper() {}

  static CostReportQuery query(Principal principal, GetCostReportRequest request) {
    Set<GroupBy> groupBy =
        request.getGroupByList().stream()
            .map(CostReportMapper::fromProto)
            .collect(Collectors.toSet());
    return CostReportQuery.of(
        tenant(principal, request, groupBy),
        principal.agentId(),
        Times.fromProto(request.getStartTime()),
        Times.fromProto(request.getEndTime()),
        groupBy,
        fromProto(request.getBucket()),
        Attributions.given(request.getZone()));
  }

  private static Optional<TenantId> tenant(
      Principal principal, GetCostReportRequest request, Set<GroupBy> groupBy) {
    if (groupBy.contains(GroupBy.TENANT) && request.getTenantId().isEmpty()) {
      principal.require(Scope.ADMIN);
      return Optional.empty();
    }
    return Optional.of(Tenants.asked(principal, request.getTenantId()));
  }

  static GetCostReportResponse toProto(List<CostReportRow> rows) {
    return GetCostReportResponse.newBuilder()
        .addAllRows(rows.stream().map(CostReportMapper::toProto).toList())
        .build();
  }

  private static dev.sandkeeper.v1.CostReportRow toProto(CostReportRow row) {
    dev.sandkeeper.v1.CostReportRow.Builder proto =
        dev.sandkeeper.v1.CostReportRow.newBuilder()
            .setStartTime(Times.toProto(row.startTime()))
            .setAmountNanoUsd(row.amount().value())
            .setRecordCount(row.recordCount());
    row.groups()
        .forEach((group, value) -> {
          var _ =
              switch (group) {
                case TENANT -> proto.setTenantId(value);
                case ORGANISATION -> proto.setOrganisationId(value);
                case USER -> proto.setUserId(value);
                case CONVERSATION -> proto.setConversationId(value);
                case AGENT -> proto.setAgentId(value);
                case TASK -> proto.setTaskId(value);
                case TIER -> proto.setTier(value);
                case SPEND -> proto.setSpend(dev.sandkeeper.v1.Spend.valueOf("SPEND_" + value));
                case MODEL -> proto.setModel(value);
              };
        });
    return proto.build();
  }

  static Spend fromProto(dev.sandkeeper.v1.Spend spend) {
    return switch (spend) {
      case SPEND_SANDBOX -> Spend.SANDBOX;
      case SPEND_LLM -> Spend.LLM;
      case SPEND_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("spend: " + spend); // refused by the contract's rules
    };
  }

  private static TimeBucket fromProto(dev.sandkeeper.v1.TimeBucket bucket) {
    return switch (bucket) {
      case TIME_BUCKET_UNSPECIFIED -> TimeBucket.RANGE;
      case TIME_BUCKET_HOUR -> TimeBucket.HOUR;
      case TIME_BUCKET_DAY -> TimeBucket.DAY;
      case TIME_BUCKET_MONTH -> TimeBucket.MONTH;
      case UNRECOGNIZED ->
          throw new IllegalArgumentException(
              "bucket: " + bucket); // refused by the contract's rules
    };
  }

  private static GroupBy fromProto(dev.sandkeeper.v1.GroupBy group) {
    return switch (group) {
      case GROUP_BY_TENANT -> GroupBy.TENANT;
      case GROUP_BY_ORGANISATION -> GroupBy.ORGANISATION;
      case GROUP_BY_USER -> GroupBy.USER;
      case GROUP_BY_CONVERSATION -> GroupBy.CONVERSATION;
      case GROUP_BY_AGENT -> GroupBy.AGENT;
      case GROUP_BY_TASK -> GroupBy.TASK;
      case GROUP_BY_TIER -> GroupBy.TIER;
      case GROUP_BY_SPEND -> GroupBy.SPEND;
      case GROUP_BY_MODEL -> GroupBy.MODEL;
      case GROUP_BY_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException(
              "group_by: " + group); // refused by the contract's rules
    };
  }
}
