package io.faithfulsae.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * JSON objects with a {@code checksum} field, so that a damaged or edited file is detected. The
 * checksum covers the values: whitespace and line endings may change.
 */
public final class CheckedJson {
  /** Name of the checksum field. */
  public static final String FIELD = "checksum";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private CheckedJson() {}

  /** Writes an object with its checksum, atomically. */
  public static void write(Path file, ObjectNode content) throws IOException {
    ObjectNode signed = content.deepCopy().put(FIELD, of(content));
    AtomicFile.writeString(
        file, JSON.writerWithDefaultPrettyPrinter().writeValueAsString(signed) + "\n");
  }

  /**
   * Reads an object written by {@link #write}, and removes its checksum.
   *
   * @param remedy what the user should do if the file was changed, for the message
   * @throws SaeFormatException if it is not a JSON object or was changed after it was written
   */
  public static ObjectNode read(Path file, String remedy) throws IOException {
    return verify(file, parse(file, remedy), remedy);
  }

  /**
   * Removes the checksum from a parsed object and verifies it.
   *
   * @return the object
   * @throws SaeFormatException if the object was changed after it was written
   */
  public static ObjectNode verify(Path file, ObjectNode object, String remedy) throws IOException {
    JsonNode recorded = object.remove(FIELD);
    String found = of(object);
    if (recorded == null || !recorded.asText().equals(found)) {
      throw new SaeFormatException(
          file,
          FIELD,
          Expected.message(
              found + " for the file's values",
              recorded == null ? "none" : recorded,
              "the file was changed after it was written: " + remedy));
    }
    return object;
  }

  /**
   * Reads an object without verifying its checksum.
   *
   * @throws SaeFormatException if the file is not a JSON object
   */
  public static ObjectNode parse(Path file, String remedy) throws IOException {
    String got;
    try {
      JsonNode json = JSON.readTree(Files.readAllBytes(RegularFile.require(file)));
      if (json instanceof ObjectNode object) {
        return object;
      }
      got = String.valueOf(json.getNodeType());
    } catch (JsonProcessingException e) {
      got = e.getOriginalMessage();
    } catch (CharConversionException e) {
      got = e.getMessage();
    }
    throw new SaeFormatException(file, "JSON", Expected.message("an object", got, remedy));
  }

  /** The checksum of an object's values, in their order. */
  public static String of(ObjectNode content) throws IOException {
    // Parse it again: a float that was written is read back as a double.
    JsonNode asRead = JSON.readTree(JSON.writeValueAsBytes(content));
    return new Fingerprint().add(JSON.writeValueAsString(asRead)).hex();
  }
}
