package io.faithfulsae.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.IDefaultValueProvider;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * Where an option's value comes from if it is not on the command line: the environment, for one
 * command ({@code SAE_TRAIN_D_SAE}), then for all ({@code SAE_D_SAE}), then the file named by
 * {@code --config}, likewise.
 */
final class OptionDefaults implements IDefaultValueProvider {
  private static final String CONFIG = "--config";

  private final Map<String, String> environment;
  private final @Nullable OptionFile file;
  private final Map<ArgSpec, String> sources = new HashMap<>();

  private OptionDefaults(Map<String, String> environment, @Nullable OptionFile file) {
    this.environment = environment;
    this.file = file;
  }

  /** Gives every command {@code --config}, but {@code study}, which has a richer one. */
  static void addConfigOption(CommandLine sae) {
    for (CommandLine each : sae.getSubcommands().values()) {
      CommandSpec command = each.getCommandSpec();
      if (command.findOption(CONFIG) == null) {
        command.addOption(
            OptionSpec.builder(CONFIG)
                .paramLabel("FILE.yaml")
                .type(Path.class)
                .description("Options that are not on the command line (docs/cli.md).")
                .build());
      }
    }
  }

  /**
   * Reads the file that the command line names.
   *
   * @throws IOException if it cannot be read
   * @throws IllegalArgumentException if it is not such a file
   */
  static OptionDefaults of(Map<String, String> environment, CommandLine sae, String... args)
      throws IOException {
    Path config = config(args);
    return new OptionDefaults(environment, config == null ? null : OptionFile.read(config, sae));
  }

  /** Found before the line is parsed, since the file decides whether an option is missing. */
  private static @Nullable Path config(String... args) {
    List<String> line = Arrays.asList(args);
    if (line.stream().filter(arg -> !arg.startsWith("-")).findFirst().orElse("").equals("study")) {
      return null;
    }
    for (int i = 0; i < args.length; i++) {
      if (args[i].equals(CONFIG) && i + 1 < args.length) {
        return Path.of(args[i + 1]);
      }
      if (args[i].startsWith(CONFIG + "=")) {
        return Path.of(args[i].substring(CONFIG.length() + 1));
      }
    }
    return null;
  }

  @Override
  public @Nullable String defaultValue(ArgSpec arg) {
    CommandSpec command = arg.command();
    if (!(arg instanceof OptionSpec option) || command == null || command.parent() == null) {
      return null;
    }
    for (String name : option.names()) {
      if (name.startsWith("--") && !option.usageHelp() && !option.versionHelp()) {
        String value = value(option, command.name(), name.substring(2));
        if (value != null) {
          return value;
        }
      }
    }
    return null;
  }

  private @Nullable String value(OptionSpec option, String command, String name) {
    for (String variable : List.of(variable(command + "-" + name), variable(name))) {
      String value = environment.getOrDefault(variable, "");
      if (!value.isBlank()) {
        sources.put(option, variable + " in the environment");
        return value;
      }
    }
    String value = file == null ? null : file.value(command, name);
    if (file != null && value != null) {
      sources.put(option, file.path().toString());
    }
    return value;
  }

  private static String variable(String name) {
    return "SAE_" + name.toUpperCase(Locale.ROOT).replace('-', '_');
  }

  /** Where an option's value came from, for messages; empty if from the command line. */
  String source(@Nullable ArgSpec arg) {
    String source = arg == null || !sources.containsKey(arg) ? null : sources.get(arg);
    return source == null ? "" : " (from " + source + ")";
  }
}
