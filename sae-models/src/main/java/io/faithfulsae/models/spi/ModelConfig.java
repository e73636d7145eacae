package io.faithfulsae.models.spi;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A model's {@code config.json}, read field by field; errors name the missing or unsupported field.
 */
public final class ModelConfig {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Path file;
  private final String path;
  private final JsonNode root;

  private ModelConfig(Path file, String path, JsonNode root) {
    this.file = file;
    this.path = path;
    this.root = root;
  }

  /**
   * Reads a JSON object.
   *
   * @throws java.nio.file.NoSuchFileException if there is no such file
   * @throws SaeFormatException if it is not a JSON object
   */
  public static ModelConfig read(Path file) throws IOException {
    JsonNode root;
    try {
      root = JSON.readTree(Files.readAllBytes(RegularFile.require(file)));
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file, "file", Expected.message("JSON", e.getOriginalMessage(), "fetch it again"));
    } catch (CharConversionException e) {
      throw new SaeFormatException(
          file, "file", Expected.message("JSON in UTF-8", e.getMessage(), "fetch it again"));
    }
    if (!root.isObject()) {
      throw new SaeFormatException(
          file, "file", Expected.message("a JSON object", root.getNodeType(), "fetch it again"));
    }
    return new ModelConfig(file, "", root);
  }

  /**
   * The required object in a field; messages prefix the names of its fields with this field's name.
   */
  public ModelConfig part(String field) throws SaeFormatException {
    if (!root.path(field).isObject()) {
      throw problem(field, "an object");
    }
    return new ModelConfig(file, path + field + ".", root.path(field));
  }

  /** This configuration with a default for a field that is missing or null. */
  public ModelConfig otherwise(String field, int value) {
    if (has(field)) {
      return this;
    }
    ObjectNode filled = root.deepCopy();
    return new ModelConfig(file, path, filled.put(field, value));
  }

  /** Whether the field is present and not null. */
  public boolean has(String field) {
    return root.hasNonNull(field);
  }

  /** A field's value; a missing node if absent. */
  public JsonNode json(String field) {
    return root.path(field);
  }

  /** A required positive integer. */
  public int number(String field) throws SaeFormatException {
    JsonNode value = root.path(field);
    if (!value.canConvertToInt() || !value.isIntegralNumber() || value.intValue() < 1) {
      throw problem(field, "a positive integer");
    }
    return value.intValue();
  }

  /** A positive integer, or {@code otherwise} if the field is missing or null. */
  public int number(String field, int otherwise) throws SaeFormatException {
    return has(field) ? number(field) : otherwise;
  }

  /** A finite number, or {@code otherwise} if the field is missing or null. */
  public double real(String field, double otherwise) throws SaeFormatException {
    if (!has(field)) {
      return otherwise;
    }
    if (!root.path(field).isNumber() || !Double.isFinite(root.path(field).doubleValue())) {
      throw problem(field, "a finite number");
    }
    return root.path(field).doubleValue();
  }

  /** A boolean, or {@code otherwise} if the field is missing or null. */
  public boolean flag(String field, boolean otherwise) throws SaeFormatException {
    if (!has(field)) {
      return otherwise;
    }
    if (!root.path(field).isBoolean()) {
      throw problem(field, "true or false");
    }
    return root.path(field).booleanValue();
  }

  /** A string, or {@code otherwise} if the field is missing or null. */
  public String text(String field, String otherwise) throws SaeFormatException {
    if (!has(field)) {
      return otherwise;
    }
    if (!root.path(field).isTextual()) {
      throw problem(field, "a string");
    }
    return root.path(field).textValue();
  }

  /** An exception that names this file, a field, and the expected and actual values. */
  public SaeFormatException problem(String field, String expected) {
    JsonNode value = root.path(field);
    return new SaeFormatException(
        file,
        path + field,
        Expected.message(
            expected,
            value.isMissingNode() ? "nothing" : value,
            "use a model that this version supports"));
  }
}
