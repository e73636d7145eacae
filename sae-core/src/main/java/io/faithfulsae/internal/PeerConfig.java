package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** The configuration file of another library, read field by field. */
record PeerConfig(Path file, JsonNode json) {
  private static final String METADATA = "metadata";

  /** Real ones have a few kilobytes. */
  private static final long MAX_BYTES = 16 << 20;

  static PeerConfig read(Path file) throws IOException {
    return new PeerConfig(file, parse(file));
  }

  /** Parses a configuration, whose size is bounded. */
  static ObjectNode parse(Path file) throws IOException {
    if (Files.size(file) > MAX_BYTES) {
      throw new SaeFormatException(
          file,
          "JSON",
          Expected.message(
              "at most " + MAX_BYTES + " bytes",
              Files.size(file),
              "this is no SAE's configuration"));
    }
    return CheckedJson.parse(file, "fetch it again");
  }

  /** The object in a field; an empty one if there is none. */
  PeerConfig in(String key) {
    return new PeerConfig(file, json.path(key));
  }

  String text(String key, String otherwise) {
    return json.path(key).asText(otherwise);
  }

  boolean is(String key) {
    return json.path(key).asBoolean(false);
  }

  /** A whole number, at least 1. */
  int size(String key) throws SaeFormatException {
    JsonNode node = json.path(key);
    if (!node.isInt() || node.asInt() < 1) {
      throw wrong(key, "a whole number >= 1");
    }
    return node.asInt();
  }

  /** A number. */
  double number(String key) throws SaeFormatException {
    JsonNode node = json.path(key);
    if (!node.isNumber() || !Double.isFinite(node.asDouble())) {
      throw wrong(key, "a number");
    }
    return node.asDouble();
  }

  private SaeFormatException wrong(String key, String expected) {
    JsonNode node = json.path(key);
    return new SaeFormatException(
        file,
        key,
        Expected.message(
            expected,
            node.isMissingNode() ? "nothing" : PickleText.printable(node.asText("an object")),
            "fetch the file again"));
  }

  /** An SAE that reads and writes rows of one width. */
  SaeConfig sae(
      int d, int dSae, Activation activation, boolean subtract, Normalization normalization)
      throws SaeFormatException {
    return sae(file, d, d, dSae, activation, subtract, normalization, false);
  }

  /** The configuration of these parts, which are those of the file. */
  static SaeConfig sae(
      Path file,
      int dIn,
      int dOut,
      int dSae,
      Activation activation,
      boolean subtract,
      Normalization normalization,
      boolean skip)
      throws SaeFormatException {
    try {
      return new SaeConfig(dIn, dOut, dSae, activation, subtract, normalization, skip);
    } catch (IllegalArgumentException e) {
      throw new SaeFormatException(file, "configuration", String.valueOf(e.getMessage()));
    }
  }

  /** The SAE is of a kind that is not read. */
  SaeFormatException otherArchitecture(String what) {
    return otherArchitecture(file, what);
  }

  static SaeFormatException otherArchitecture(Path file, String what) {
    return new OtherArchitectureException(
        file,
        "architecture",
        Expected.message(
            "an architecture of docs/file-formats.md", what, "this version does not compute it"));
  }

  /** Metadata that this library added to a file, over those that the format has. */
  Map<String, String> metadata(Map<String, String> known) {
    Map<String, String> all = new LinkedHashMap<>(known);
    json.path(METADATA)
        .properties()
        .forEach(
            e -> {
              JsonNode value = e.getValue();
              if (!value.isNull()) {
                all.put(e.getKey(), value.isTextual() ? value.asText() : value.toString());
              }
            });
    return all;
  }

  /** Adds what the format has no place for; its own reader ignores it. */
  static void putMetadata(ObjectNode json, Map<String, String> metadata) {
    ObjectNode node = json.putObject(METADATA);
    new TreeMap<>(metadata).forEach(node::put);
  }
}
