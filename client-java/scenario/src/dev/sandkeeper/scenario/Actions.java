package dev.sandkeeper.scenario;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.QuotaExceededException;
import dev.sandkeeper.client.SandboxFiles;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.client.SandkeeperException;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.SetLimitRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/** What the steps do, each with the result that the table's README describes. */
final class Actions {
  private Actions() {}

  static JsonObject run(String action, SandkeeperClient client, JsonObject arguments)
      throws IOException {
    return switch (action) {
      case "call" ->
          call(arguments.get("method").getAsString(), client, arguments.getAsJsonObject("request"));
      case "execute" ->
          events(
              client.execute(
                  parse(arguments.getAsJsonObject("request"), ExecuteRequest.newBuilder())
                      .build()));
      case "attach" ->
          events(
              client.attach(
                  arguments.get("executionId").getAsString(),
                  arguments.get("afterSequence").getAsLong()));
      case "upload" -> upload(files(client, arguments), arguments);
      case "download" -> download(files(client, arguments), arguments);
      case "costs" -> costs(client, arguments.get("sandboxId").getAsString());
      default -> throw new IllegalArgumentException("unknown action " + action);
    };
  }

  static JsonObject error(SandkeeperException error) {
    JsonObject json = new JsonObject();
    json.addProperty("code", error.code().name());
    json.addProperty("reason", error.reason());
    JsonObject metadata = new JsonObject();
    error.metadata().forEach(metadata::addProperty);
    json.add("metadata", metadata);
    JsonArray violations = new JsonArray();
    error
        .violations()
        .forEach(violation -> {
          JsonObject entry = new JsonObject();
          entry.addProperty("field", violation.field());
          entry.addProperty("description", violation.description());
          violations.add(entry);
        });
    json.add("violations", violations);
    if (error instanceof QuotaExceededException quota) {
      json.addProperty("limitId", quota.limitId());
      json.addProperty("remainingNanoUsd", Long.toString(quota.remaining()));
      quota.resetTime().ifPresent(time -> json.addProperty("resetTime", time.toString()));
    }
    return json;
  }

  private static JsonObject call(String method, SandkeeperClient client, JsonObject request)
      throws IOException {
    String sandboxId = request.has("sandboxId") ? request.get("sandboxId").getAsString() : "";
    return switch (method) {
      case "CreateSandbox" ->
          wrapped(
              "sandbox",
              client
                  .createSandbox(parse(request, CreateSandboxRequest.newBuilder()).build())
                  .describe());
      case "GetSandbox" -> wrapped("sandbox", client.getSandbox(sandboxId));
      case "TerminateSandbox" -> wrapped("sandbox", client.terminateSandbox(sandboxId));
      case "GetSandboxUsage" -> wrapped("usage", client.getUsage(sandboxId));
      case "ListDirectory" -> wrapped("files", files(client, request).list(path(request)));
      case "Stat" -> wrapped("file", files(client, request).stat(path(request)));
      case "SetLimit" ->
          wrapped("limit", client.setLimit(parse(request, SetLimitRequest.newBuilder()).build()));
      case "DeleteLimit" -> {
        client.deleteLimit(request.get("limitId").getAsString());
        yield new JsonObject();
      }
      case "GetQuota" -> wrapped("quotas", client.getQuota());
      default -> throw new IllegalArgumentException("unknown method " + method);
    };
  }

  private static JsonObject events(ExecutionStream stream) {
    JsonObject json = new JsonObject();
    ByteString.Output stdout = ByteString.newOutput();
    ByteString.Output stderr = ByteString.newOutput();
    long first = 0;
    long last = 0;
    int gaps = 0;
    try (stream) {
      for (ExecutionEvent event : stream) {
        first = first == 0 ? event.sequence() : first;
        gaps += last != 0 && event.sequence() != last + 1 ? 1 : 0;
        last = event.sequence();
        if (event instanceof ExecutionEvent.Started started) {
          json.addProperty("executionId", started.executionId());
        } else if (event instanceof ExecutionEvent.Stdout out) {
          stdout.write(out.data().toByteArray(), 0, out.data().size());
        } else if (event instanceof ExecutionEvent.Stderr err) {
          stderr.write(err.data().toByteArray(), 0, err.data().size());
        } else if (event instanceof ExecutionEvent.Result result) {
          result.text().ifPresent(text -> json.addProperty("result", text));
        } else if (event instanceof ExecutionEvent.CodeError error) {
          JsonObject entry = new JsonObject();
          entry.addProperty("name", error.name());
          entry.addProperty("value", error.value());
          entry.addProperty("traceback", error.traceback());
          json.add("error", entry);
        } else if (event instanceof ExecutionEvent.Finished finished) {
          json.addProperty("reason", finished.reason().name());
          finished.exitCode().ifPresent(code -> json.addProperty("exitCode", code));
          finished.signal().ifPresent(signal -> json.addProperty("signal", signal));
        }
      }
      json.addProperty("reattachments", stream.reattachments());
    }
    byte[] written = stdout.toByteString().toByteArray();
    json.addProperty("stdout", stdout.toByteString().toStringUtf8());
    json.addProperty("stderr", stderr.toByteString().toStringUtf8());
    json.addProperty("stdoutBytes", Integer.toString(written.length));
    json.addProperty("stdoutSha256", sha256(written));
    json.addProperty("firstSequence", Long.toString(first));
    json.addProperty("lastSequence", Long.toString(last));
    json.addProperty("gaps", gaps);
    return json;
  }

  private static JsonObject upload(SandboxFiles files, JsonObject arguments) throws IOException {
    byte[] bytes = new byte[arguments.get("size").getAsInt()];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) ((31L * i + 7) % 251);
    }
    Path source = Files.createTempFile("scenario", ".bin");
    try {
      Files.write(source, bytes);
      return json(files.upload(source, path(arguments)));
    } finally {
      Files.delete(source);
    }
  }

  private static JsonObject download(SandboxFiles files, JsonObject arguments) throws IOException {
    byte[] bytes;
    if (arguments.has("offset")) {
      bytes =
          files.download(
              path(arguments),
              arguments.get("offset").getAsLong(),
              arguments.get("length").getAsLong());
    } else {
      Path target = Files.createTempFile("scenario", ".bin");
      try {
        files.download(path(arguments), target);
        bytes = Files.readAllBytes(target);
      } finally {
        Files.delete(target);
      }
    }
    JsonObject json = new JsonObject();
    json.addProperty("bytes", Integer.toString(bytes.length));
    json.addProperty("sha256", sha256(bytes));
    return json;
  }

  private static JsonObject costs(SandkeeperClient client, String sandboxId)
      throws InvalidProtocolBufferException {
    List<CostRecord> records =
        client
            .listCostRecords(ListCostRecordsRequest.newBuilder().setSandboxId(sandboxId).build())
            .toList();
    JsonObject json = wrapped("records", records);
    json.addProperty("count", records.size());
    long sum = records.stream().mapToLong(CostRecord::getAmountNanoUsd).sum();
    json.addProperty("sumNanoUsd", Long.toString(sum));
    return json;
  }

  private static SandboxFiles files(SandkeeperClient client, JsonObject arguments) {
    return client.sandbox(arguments.get("sandboxId").getAsString()).files();
  }

  private static String path(JsonObject arguments) {
    return arguments.get("path").getAsString();
  }

  private static <B extends Message.Builder> B parse(JsonObject json, B builder)
      throws InvalidProtocolBufferException {
    JsonFormat.parser().merge(json.toString(), builder);
    return builder;
  }

  private static JsonObject json(MessageOrBuilder message) throws InvalidProtocolBufferException {
    return JsonParser.parseString(JsonFormat.printer().print(message)).getAsJsonObject();
  }

  private static JsonObject wrapped(String name, Message message)
      throws InvalidProtocolBufferException {
    JsonObject wrapper = new JsonObject();
    wrapper.add(name, json(message));
    return wrapper;
  }

  private static JsonObject wrapped(String name, List<? extends Message> messages)
      throws InvalidProtocolBufferException {
    JsonArray list = new JsonArray();
    for (Message message : messages) {
      list.add(json(message));
    }
    JsonObject wrapper = new JsonObject();
    wrapper.add(name, list);
    return wrapper;
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has it", e);
    }
  }
}
