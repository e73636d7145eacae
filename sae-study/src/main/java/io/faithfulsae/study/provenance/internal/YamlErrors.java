package io.faithfulsae.study.provenance.internal;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonStreamContext;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.exc.InvalidNullException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Words what is wrong in a YAML file for the person who wrote it: file, line, setting, and what is
 * accepted there.
 */
public final class YamlErrors {
  private static final Pattern SETTING = Pattern.compile("([\\w.\\[\\]-]+): (.*)", Pattern.DOTALL);

  private YamlErrors() {}

  /**
   * An error in the syntax, or in a value that was mapped to one of our records.
   *
   * @param part what the whole file describes, in a word
   */
  public static SaeFormatException of(Path file, JsonProcessingException e, String part) {
    if (e instanceof JsonMappingException mapping) {
      String path = path(mapping);
      return mapping.getCause() instanceof IllegalArgumentException own
          ? of(file, own, path.isEmpty() ? part : path)
          : at(file, path, part, problem(mapping));
    }
    JsonLocation at = e.getLocation(); // null if the nesting is too deep
    String got = e.getOriginalMessage().lines().findFirst().orElse("an error");
    return new SaeFormatException(
        file,
        at == null ? part : "line " + at.getLineNr(),
        Expected.message("YAML", got, "correct the file"));
  }

  /**
   * An error that one of our checks found; its message may start with the setting's name.
   *
   * @param part the setting, or the word for the whole file, if it does not
   */
  public static SaeFormatException of(Path file, IllegalArgumentException e, String part) {
    String message = String.valueOf(e.getMessage());
    Matcher setting = SETTING.matcher(message);
    return setting.matches()
        ? at(file, setting.group(1), part, setting.group(2))
        : at(file, part, part, message);
  }

  private static SaeFormatException at(Path file, String setting, String part, String problem) {
    Integer line = setting.isEmpty() ? null : line(file, setting);
    String where = setting.isEmpty() ? part : setting;
    return new SaeFormatException(
        file, line == null ? where : "line " + line + ", " + where, problem);
  }

  /**
   * The line of a setting, or of the innermost section around it that is in the file; null if it
   * has none. In a file of several models, the settings of a model lie deeper than those of all.
   */
  private static @Nullable Integer line(Path file, String setting) {
    Map<String, Integer> lines = lines(file);
    for (String path = setting; !path.isEmpty(); path = parent(path)) {
      String wanted = path;
      for (Map.Entry<String, Integer> each : lines.entrySet()) {
        if (each.getKey().equals(wanted) || each.getKey().endsWith("." + wanted)) {
          return each.getValue();
        }
      }
    }
    return null;
  }

  private static String parent(String path) {
    return path.substring(0, Math.max(0, Math.max(path.lastIndexOf('.'), path.lastIndexOf('['))));
  }

  private static Map<String, Integer> lines(Path file) {
    Map<String, Integer> lines = new LinkedHashMap<>();
    try (JsonParser parser = new YAMLFactory().createParser(file.toFile())) {
      for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
        if (token != JsonToken.END_OBJECT && token != JsonToken.END_ARRAY) {
          String path = path(parser.getParsingContext(), token);
          lines.putIfAbsent(path, parser.currentTokenLocation().getLineNr());
        }
      }
    } catch (IOException e) {
      // The file is already known to be wrong: what was read so far has its lines.
      System.getLogger(YamlErrors.class.getName())
          .log(System.Logger.Level.DEBUG, "lines of " + file, e);
    }
    return lines;
  }

  /** Where the parser is; a token that opens a section is at the section's own place. */
  private static String path(JsonStreamContext context, JsonToken token) {
    JsonStreamContext at = token.isStructStart() ? context.getParent() : context;
    StringBuilder path = new StringBuilder();
    for (; at != null && !at.inRoot(); at = at.getParent()) {
      path.insert(0, at.inArray() ? "[" + at.getCurrentIndex() + "]" : "." + at.getCurrentName());
    }
    return path.length() > 0 && path.charAt(0) == '.' ? path.substring(1) : path.toString();
  }

  private static String path(JsonMappingException e) {
    StringBuilder path = new StringBuilder();
    for (JsonMappingException.Reference part : e.getPath()) {
      String name = part.getFieldName();
      path.append(name == null ? "[" + part.getIndex() + "]" : "." + name);
    }
    return path.length() > 0 && path.charAt(0) == '.' ? path.substring(1) : path.toString();
  }

  private static String problem(JsonMappingException e) {
    if (e instanceof UnrecognizedPropertyException unknown) {
      Collection<Object> known = unknown.getKnownPropertyIds();
      return Expected.message(
          "one of "
              + known.stream().map(String::valueOf).sorted().collect(Collectors.joining(", ")),
          unknown.getPropertyName(),
          "correct the name, or delete the setting");
    }
    String message = String.valueOf(e.getOriginalMessage());
    if (e instanceof InvalidNullException || message.startsWith("Cannot map `null`")) {
      return Expected.message("a value", null, "write one, or leave the setting out");
    }
    if (e instanceof MismatchedInputException wrong && wrong.getTargetType() != null) {
      Object got =
          wrong instanceof InvalidFormatException value ? value.getValue() : given(message);
      return Expected.message(accepted(wrong.getTargetType()), got, "correct the value");
    }
    return message;
  }

  private static String accepted(Class<?> type) {
    if (type.isEnum()) {
      return Arrays.stream(type.getEnumConstants())
          .map(String::valueOf)
          .collect(Collectors.joining(", ", "one of ", ""));
    }
    if (type == int.class || type == Integer.class) {
      return "an integer of at most 32 bits";
    }
    if (type == long.class || type == Long.class) {
      return "an integer of at most 64 bits";
    }
    if (type == double.class || type == Double.class) {
      return "a number";
    }
    if (type == boolean.class || type == Boolean.class) {
      return "true or false";
    }
    if (type == String.class) {
      return "text";
    }
    return Collection.class.isAssignableFrom(type) ? "a list" : "settings, each as name: value";
  }

  /** What Jackson found, which it tells by the name of a token alone. */
  private static String given(String message) {
    if (message.contains("START_ARRAY")) {
      return "a list";
    }
    if (message.contains("START_OBJECT")) {
      return "settings";
    }
    return "a single value";
  }
}
