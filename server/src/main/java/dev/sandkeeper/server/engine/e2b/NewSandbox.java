package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Map;

/**
 * What a sandbox is made of.
 *
 * @param template its id or alias
 * @param timeout after how long E2B ends it by itself; whole seconds
 * @param metadata what it can be found by
 * @param environment variables of every process
 * @param internet whether it may connect to hosts by itself
 * @param publicPorts whether its ports are open to who has no token
 * @param pauseAtTimeout whether it is paused rather than ended then
 */
record NewSandbox(
    String template,
    Duration timeout,
    Map<String, String> metadata,
    Map<String, String> environment,
    boolean internet,
    boolean publicPorts,
    boolean pauseAtTimeout) {

  NewSandbox {
    if (template.isEmpty()) {
      throw new IllegalArgumentException("template: empty (expected: an id or alias)");
    }
    ControlApi.seconds(timeout);
    metadata = Map.copyOf(metadata);
    environment = Map.copyOf(environment);
  }

  /** Returns it for a request, with what is left of the timeout. */
  ObjectNode json(Duration left) {
    ObjectNode json = Json.object();
    json.put("templateID", template);
    json.put("timeout", ControlApi.seconds(left));
    json.put("secure", true);
    json.put("autoPause", pauseAtTimeout);
    json.put("allow_internet_access", internet);
    json.putObject("network").put("allowPublicTraffic", publicPorts);
    ObjectNode labels = json.putObject("metadata");
    metadata.forEach(labels::put);
    ObjectNode variables = json.putObject("envVars");
    environment.forEach(variables::put);
    return json;
  }
}
