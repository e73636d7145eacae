package io.faithfulsae.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/**
 * Options in a YAML file: a key is the name of a long option without its dashes, for every command
 * that has it, or of a command, with options for it alone.
 *
 * <pre>
 * threads: 4
 * train:
 *   d-sae: 4096
 *   resume: true
 * </pre>
 */
final class OptionFile {
  private static final Set<String> NOT_HERE = Set.of("config", "help", "version");

  /** In the file: the options of every command. */
  private static final String EVERY = "";

  private final Path file;
  private final Map<String, CommandLine> commands;
  private final Map<String, Map<String, String>> values = new HashMap<>();

  private OptionFile(Path file, CommandLine sae) {
    this.file = file;
    this.commands = sae.getSubcommands();
  }

  /**
   * Reads a file.
   *
   * @param sae has all commands, whose options may be in the file
   * @throws IOException if it cannot be read
   * @throws IllegalArgumentException naming file and line, if it is not such a file
   */
  static OptionFile read(Path file, CommandLine sae) throws IOException {
    OptionFile read = new OptionFile(file, sae);
    try (InputStream in = Files.newInputStream(file);
        YAMLParser parser = new YAMLFactory().createParser(in)) {
      JsonToken first = parser.nextToken();
      if (first != null && first != JsonToken.VALUE_NULL) {
        read.section(parser, EVERY);
        if (parser.nextToken() != null) {
          throw read.problem(parser, "one YAML document", "more");
        }
      }
    } catch (JsonProcessingException e) {
      int line = e.getLocation() == null ? 1 : e.getLocation().getLineNr();
      throw new IllegalArgumentException(
          file + ": line " + line + ": " + Expected.message("YAML", firstLine(e), "correct it"), e);
    }
    return read;
  }

  /** An option's value for a command, as on the command line; null if the file has none. */
  @Nullable String value(String command, String option) {
    String own = values.getOrDefault(command, Map.of()).get(option);
    return own == null ? values.getOrDefault(EVERY, Map.of()).get(option) : own;
  }

  Path path() {
    return file;
  }

  private void section(YAMLParser parser, String command) throws IOException {
    if (parser.currentToken() != JsonToken.START_OBJECT) {
      throw problem(parser, "options, as NAME: VALUE", parser.getText());
    }
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String key = parser.currentName();
      boolean ofCommands = command.equals(EVERY) && commands.containsKey(key);
      if (!ofCommands && (NOT_HERE.contains(key) || !options(command).contains(key))) {
        throw unknown(parser, command, key);
      }
      parser.nextToken();
      if (ofCommands) {
        section(parser, key);
      } else if (values
              .computeIfAbsent(command, any -> new HashMap<>())
              .put(key, value(parser, key))
          != null) {
        throw problem(parser, key + " once", "it again");
      }
    }
  }

  private String value(YAMLParser parser, String option) throws IOException {
    if (parser.currentToken() != JsonToken.START_ARRAY) {
      return scalar(parser, option);
    }
    List<String> list = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      list.add(scalar(parser, option));
    }
    return String.join(",", list);
  }

  private String scalar(YAMLParser parser, String option) throws IOException {
    if (!parser.currentToken().isScalarValue()
        || parser.currentToken() == JsonToken.VALUE_NULL
        || parser.getText().isEmpty()) {
      throw problem(
          parser,
          "a value for " + option + ", or a list of values",
          parser.currentToken().isScalarValue() ? "nothing" : "a structure");
    }
    return parser.getText();
  }

  private Set<String> options(String command) {
    return commands.values().stream()
        .filter(each -> command.equals(EVERY) || each.getCommandName().equals(command))
        .flatMap(each -> each.getCommandSpec().optionsMap().keySet().stream())
        .filter(name -> name.startsWith("--"))
        .map(name -> name.substring(2))
        .filter(name -> !NOT_HERE.contains(name))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private IllegalArgumentException unknown(YAMLParser parser, String command, String key) {
    return problem(
        parser,
        command.equals(EVERY)
            ? "a command, or an option of one without its dashes"
            : "an option of " + command + ", one of " + options(command),
        key);
  }

  private IllegalArgumentException problem(YAMLParser parser, String expected, Object got) {
    return new IllegalArgumentException(
        file
            + ": line "
            + parser.currentTokenLocation().getLineNr()
            + ": "
            + Expected.message(expected, got, "correct it, or see `sae COMMAND --help`"));
  }

  private static String firstLine(JsonProcessingException e) {
    return String.valueOf(e.getOriginalMessage()).lines().findFirst().orElse("something else");
  }
}
