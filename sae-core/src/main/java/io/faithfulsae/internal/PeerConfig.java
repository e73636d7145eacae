package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Path;

/** The configuration file of another library, read field by field. */
record PeerConfig(Path file, JsonNode json) {

  static PeerConfig read(Path file) throws IOException {
    return new PeerConfig(file, CheckedJson.parse(file, "fetch it again"));
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
      throw new SaeFormatException(
          file,
          key,
          Expected.message(
              "a whole number >= 1",
              node.isMissingNode() ? "nothing" : PickleText.printable(node.asText("an object")),
              "fetch the file again"));
    }
    return node.asInt();
  }

  /** The SAE of these sizes, which are those of the file. */
  SaeConfig topK(int dIn, int dSae, int k, Normalization normalization) throws SaeFormatException {
    return topK(file, dIn, dSae, k, normalization);
  }

  static SaeConfig topK(Path file, int dIn, int dSae, int k, Normalization normalization)
      throws SaeFormatException {
    try {
      return new SaeConfig(dIn, dSae, new TopK(k), true, normalization);
    } catch (IllegalArgumentException e) {
      throw new SaeFormatException(file, "k", String.valueOf(e.getMessage()));
    }
  }

  /** The SAE is not one of TopK. */
  SaeFormatException otherArchitecture(String what) {
    return otherArchitecture(file, what);
  }

  static SaeFormatException otherArchitecture(Path file, String what) {
    return new SaeFormatException(
        file,
        "architecture",
        Expected.message("a TopK SAE", what, "this version reads TopK SAEs only"));
  }
}
