package io.faithfulsae.models;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A {@code tokenizer.json}, checked before the tokenizers library gets it. That library is written
 * in Rust, and where it panics it takes the JVM down. So what is known to make it panic is refused
 * here, and what our use of it does not need is left out.
 *
 * <p><b>Source</b>: {@code unwrap}, {@code expect} and indexing in tokenizers 0.21 and in the onig
 * crate.
 */
final class TokenizerJson {
  /** Of nested objects and arrays; a tokenizer needs about six, and serde_json stops at 128. */
  private static final int MAX_DEPTH = 60;

  /** The parts that encoding without special tokens, and decoding, use. */
  private static final Set<String> USED =
      Set.of("version", "added_tokens", "normalizer", "pre_tokenizer", "decoder", "model");

  private static final JsonMapper JSON =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).build())
                  .build())
          // A score keeps its digits.
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  private final Path file;
  private final ObjectNode root;

  private TokenizerJson(Path file, ObjectNode root) {
    this.file = file;
    this.root = root;
  }

  /**
   * Reads and checks a file.
   *
   * @throws SaeFormatException if it is not JSON, or holds what the library cannot be trusted with
   */
  static TokenizerJson read(Path file) throws IOException {
    JsonNode json;
    try {
      json = JSON.readTree(Files.readAllBytes(RegularFile.require(file)));
    } catch (JsonProcessingException e) {
      throw problem(file, "file", "JSON", e.getOriginalMessage());
    } catch (CharConversionException e) {
      throw problem(file, "file", "JSON in UTF-8", e.getMessage());
    }
    if (!(json instanceof ObjectNode object)) {
      throw problem(file, "file", "a JSON object", json.getNodeType());
    }
    object.retain(USED);
    TokenizerJson tokenizer = new TokenizerJson(file, object);
    tokenizer.checkValues("", object);
    tokenizer.checkParts();
    tokenizer.checkMerges(object.path("model"));
    return tokenizer;
  }

  /** The vocabulary: an object of ids by token, or a list. */
  JsonNode vocabulary() {
    return root.path("model").path("vocab");
  }

  /** The checked parts, for the library. */
  String text() throws IOException {
    return JSON.writeValueAsString(root);
  }

  /** serde_json rejects some values that Jackson reads, and not every caller expects that. */
  private void checkValues(String at, JsonNode node) throws SaeFormatException {
    if (node.isTextual()) {
      requireText(at, node.textValue());
    } else if (node.isNumber() && !Double.isFinite(node.doubleValue())) {
      throw problem(file, at, "numbers that fit in 64 bits", node.asText());
    } else if (node.isArray()) {
      for (JsonNode each : node) {
        checkValues(at, each);
      }
    } else {
      for (var field : node.properties()) {
        JsonNode value = field.getValue();
        requireText(at, field.getKey());
        checkValues(value.isContainerNode() ? at + field.getKey() + "." : at, value);
      }
    }
  }

  private void requireText(String at, String text) throws SaeFormatException {
    int i = 0;
    while (i < text.length()) {
      int c = text.codePointAt(i);
      if (c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE) {
        throw problem(
            file, at, "Unicode text", "half of a surrogate pair, \\u" + Integer.toHexString(c));
      }
      i += Character.charCount(c);
    }
  }

  /** By their fields: a part without a type is taken for the first kind that it fits. */
  private void checkParts() throws SaeFormatException {
    for (String name : List.of("normalizer", "pre_tokenizer", "decoder")) {
      JsonNode part = root.path(name);
      if (part.findValue("precompiled_charsmap") != null) { // offsets that are followed unchecked
        throw problem(file, name, "rules", "a precompiled table");
      }
      for (JsonNode pattern : part.findValues("Regex")) {
        String why = Backtracking.reason(pattern.asText());
        if (why != null) {
          throw problem(file, name + ".Regex", "a pattern without " + why, pattern);
        }
      }
    }
    for (JsonNode length : root.path("pre_tokenizer").findValues("length")) {
      if (length.asLong(1) < 1) {
        throw problem(file, "pre_tokenizer.length", "at least 1", length);
      }
    }
    for (JsonNode stop : root.path("decoder").findValues("stop")) {
      if (stop.asLong(0) != 0) {
        throw problem(file, "decoder.stop", "0", stop);
      }
    }
  }

  /** The library cuts a prefix of bytes off each merge's second token, without looking at it. */
  private void checkMerges(JsonNode model) throws SaeFormatException {
    JsonNode continued = model.path("continuing_subword_prefix");
    String prefix = continued.isTextual() ? continued.textValue() : "";
    int number = 0;
    for (JsonNode merge : model.path("merges")) {
      String[] pair =
          merge.isTextual()
              ? merge.textValue().split(" ", -1)
              : new String[] {merge.path(0).asText(), merge.path(1).asText()};
      if (pair.length != 2 || (merge.isArray() && merge.size() != 2)) {
        throw problem(file, "model.merges[" + number + "]", "two tokens", merge);
      }
      for (String token : pair) {
        if (!model.path("vocab").has(token)) {
          throw problem(
              file, "model.merges[" + number + "]", "tokens of the vocabulary", '"' + token + '"');
        }
      }
      if (!pair[1].startsWith(prefix)) {
        throw problem(
            file,
            "model.merges[" + number + "]",
            "a second token that starts with " + prefix,
            '"' + pair[1] + '"');
      }
      number++;
    }
  }

  private static SaeFormatException problem(
      Path file, String field, String expected, @Nullable Object got) {
    return new SaeFormatException(
        file,
        field,
        Expected.message(expected, got, "fetch it again, or use another model's tokenizer"));
  }
}
