package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.execution.ExecutionRequest;
import dev.sandkeeper.server.execution.Task;
import dev.sandkeeper.server.execution.TaskResult;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.RunTasksResponse;
import dev.sandkeeper.v1.Skipped;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** Lists of tasks on the wire. */
final class TaskMapper {
  private TaskMapper() {}

  /** Returns what is asked for; refuses what is wrong in any task. */
  static List<Task> fromProto(RunTasksRequest proto) {
    requireUnique(
        "tasks", "task_id", proto.getTasksList().stream().map(task -> task.getTaskId()).toList());
    List<Task> tasks = new ArrayList<>();
    for (int i = 0; i < proto.getTasksCount(); i++) {
      dev.sandkeeper.v1.Task task = proto.getTasks(i);
      tasks.add(new Task(task.getTaskId(), request(proto.getSandboxId(), task, i)));
    }
    return tasks;
  }

  /** Every task is what Execute runs. */
  private static ExecutionRequest request(
      String sandboxId, dev.sandkeeper.v1.Task task, int index) {
    ExecuteRequest.Builder execute =
        ExecuteRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setWorkingDirectory(task.getWorkingDirectory())
            .putAllEnvironment(task.getEnvironmentMap())
            .setStdin(task.getStdin());
    if (task.hasCommand()) {
      execute.setCommand(task.getCommand());
    }
    if (task.hasCode()) {
      execute.setCode(task.getCode());
    }
    if (task.hasDeadline()) {
      execute.setDeadline(task.getDeadline());
    }
    return within("tasks[%d]".formatted(index), () -> ExecutionMapper.fromProto(execute.build()));
  }

  static RunTasksResponse toProto(TaskResult result) {
    RunTasksResponse.Builder proto = RunTasksResponse.newBuilder().setTaskId(result.taskId());
    result
        .result()
        .ifPresentOrElse(
            known -> proto.setResult(ExecutionMapper.toProto(known)),
            () -> proto.setSkipped(Skipped.getDefaultInstance()));
    return proto.build();
  }

  /** Reads a part of a request; what is wrong in it is named by its whole path. */
  static <T> T within(String path, Supplier<T> reading) {
    try {
      return reading.get();
    } catch (SandkeeperException e) {
      throw SandkeeperException.invalidFields(
          e.violations().stream()
              .map(violation ->
                  new FieldViolation(path + "." + violation.field(), violation.description()))
              .toList());
    }
  }

  /** Refuses a list in which an id comes twice. */
  static void requireUnique(String list, String field, List<String> ids) {
    Map<String, Integer> first = new HashMap<>();
    List<FieldViolation> violations = new ArrayList<>();
    for (int i = 0; i < ids.size(); i++) {
      Integer before = first.putIfAbsent(ids.get(i), i);
      if (before != null) {
        violations.add(
            new FieldViolation(
                "%s[%d].%s".formatted(list, i, field),
                "%s (expected: unique; %s[%d] has it)".formatted(ids.get(i), list, before)));
      }
    }
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
  }
}
