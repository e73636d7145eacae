package io.faithfulsae.study;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The study's authors' settings for the models that they used, identified by their {@code
 * config.json}; they are in {@code authors-study.yaml}.
 *
 * <p><b>Source</b>: FaithfulSAE (arXiv 2506.17673) and its published runs.
 */
final class AuthorsPreset {
  /** Its name in the settings file. */
  static final String NAME = "authors";

  private static final YAMLMapper YAML = new YAMLMapper();

  private AuthorsPreset() {}

  /**
   * The differences from the default study.
   *
   * @param model folder of the model; null for the embedded one, which the authors did not use
   * @throws SaeFormatException if the authors did not use the model; the message lists theirs
   */
  static ObjectNode settings(@Nullable Path model) throws IOException {
    JsonNode all = resource();
    Path file = model == null ? Path.of(EmbeddedModel.NAME) : model.resolve("config.json");
    if (model != null && Files.exists(file)) {
      JsonNode config = YAML.readTree(Files.readAllBytes(file));
      for (JsonNode row : all.path("models")) {
        if (matches(row.path("config"), config)) {
          ObjectNode settings = (ObjectNode) all.path("all").deepCopy();
          StudyFile.merge(settings, (ObjectNode) row.path("settings"));
          return settings;
        }
      }
    }
    List<String> names = new ArrayList<>();
    all.path("models").fieldNames().forEachRemaining(names::add);
    throw new SaeFormatException(
        file,
        "preset",
        Expected.message(
            "a model that the authors used (" + String.join(", ", names) + ")",
            "another",
            "use one of these, or leave out the preset"));
  }

  private static boolean matches(JsonNode expected, JsonNode config) {
    for (Map.Entry<String, JsonNode> field : expected.properties()) {
      if (!config.path(field.getKey()).asText().equals(field.getValue().asText())) {
        return false;
      }
    }
    return true;
  }

  private static JsonNode resource() throws IOException {
    try (InputStream in = AuthorsPreset.class.getResourceAsStream("authors-study.yaml")) {
      return YAML.readTree(in);
    }
  }
}
