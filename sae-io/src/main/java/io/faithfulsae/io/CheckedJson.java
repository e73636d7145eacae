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
 * JSON objects that say in their field {@code checksum} what they hold, so that one that was
 * damaged or edited is not believed. The checksum is of the values: spaces and line ends may
 * change.
 */
public final class CheckedJson {
  /** The field's name. */
  public static final String FIELD = "checksum";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private CheckedJson() {}

  /** Writes an object with its checksum, beside and renamed. */
  public static void write(Path file, ObjectNode content) throws IOException {
    ObjectNode signed = content.deepCopy().put(FIELD, of(content));
    AtomicFile.writeString(
        file, JSON.writerWithDefaultPrettyPrinter().writeValueAsString(signed) + "\n");
  }

  /**
   * Reads an object that {@link #write} wrote, without its checksum.
   *
   * @param otherwise what to do about a file that is not what was written
   * @throws SaeFormatException if it is no JSON object or not what was written
   */
  public static ObjectNode read(Path file, String otherwise) throws IOException {
    return verify(file, parse(file, otherwise), otherwise);
  }

  /**
   * Takes the checksum out of an object that was parsed, and compares it.
   *
   * @return the object
   * @throws SaeFormatException if it is not what was written
   */
  public static ObjectNode verify(Path file, ObjectNode object, String otherwise)
      throws IOException {
    JsonNode said = object.remove(FIELD);
    String found = of(object);
    if (said == null || !said.asText().equals(found)) {
      throw new SaeFormatException(
          file,
          FIELD,
          "expected "
              + found
              + " for what the file says, got "
              + (said == null ? "none" : said)
              + "; it was changed after it was written: "
              + otherwise);
    }
    return object;
  }

  /**
   * Reads an object whose checksum, if there is one, nobody has looked at.
   *
   * @throws SaeFormatException if the file is no JSON object
   */
  public static ObjectNode parse(Path file, String otherwise) throws IOException {
    String got;
    try {
      JsonNode json = JSON.readTree(Files.readAllBytes(file));
      if (json instanceof ObjectNode object) {
        return object;
      }
      got = String.valueOf(json.getNodeType());
    } catch (JsonProcessingException e) {
      got = e.getOriginalMessage();
    } catch (CharConversionException e) {
      got = e.getMessage();
    }
    throw new SaeFormatException(
        file, "JSON", "expected an object, got: " + got + "; " + otherwise);
  }

  /** The checksum of an object's values, in their order. */
  public static String of(ObjectNode content) throws IOException {
    // Parsed once more: a float that is written is a double when it is read.
    JsonNode asRead = JSON.readTree(JSON.writeValueAsBytes(content));
    return new Fingerprint().add(JSON.writeValueAsString(asRead)).hex();
  }
}
