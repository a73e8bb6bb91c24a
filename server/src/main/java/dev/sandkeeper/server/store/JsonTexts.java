package dev.sandkeeper.server.store;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Map;
import org.jooq.JSONB;

/** Maps of text as JSON objects. */
final class JsonTexts {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final TypeReference<Map<String, String>> MAP = new TypeReference<>() {};

  private JsonTexts() {}

  static JSONB ofMap(Map<String, String> map) {
    try {
      return JSONB.valueOf(MAPPER.writeValueAsString(map));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e); // a map of text is always JSON
    }
  }

  static Map<String, String> toMap(JSONB json) {
    try {
      return MAPPER.readValue(json.data(), MAP);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a row holds what no version of this server wrote", e);
    }
  }
}
