package io.faithfulsae.cli;

import io.faithfulsae.cli.console.Interrupts;
import io.faithfulsae.io.Expected;
import io.faithfulsae.study.work.StoppedException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command {@code sae}. */
@Command(
    name = "sae",
    description =
        "Trains, runs and evaluates sparse autoencoders on the activations of language models.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      StudyCommand.class,
      GenerateCommand.class,
      CheckDatasetCommand.class,
      ActivationsCommand.class,
      TrainCommand.class,
      EncodeCommand.class,
      EvaluateCommand.class,
      MatchCommand.class,
      FakeFeaturesCommand.class,
      CompareCommand.class,
      ProbeCommand.class,
      DashboardCommand.class,
      SteerCommand.class,
      InfoCommand.class,
      DoctorCommand.class,
      ConvertCommand.class,
      CompletionCommand.class
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:done",
      "1:failed; the reason is one line on standard error",
      "2:the command line is invalid",
      "130:stopped by Ctrl-C; progress is kept, and the same command resumes (training with"
          + " --resume)"
    },
    footerHeading = "%nEnvironment:%n",
    footer = {
      "  SAE_COMMAND_OPTION, such as SAE_TRAIN_D_SAE, or SAE_OPTION for every command: an option that"
          + " is not on the command line. Then comes --config.",
      "  -Dsae.backend=cpu|cuda before -jar forces a backend; by default the best usable one is"
          + " used."
    })
public final class SaeCommand {
  static final int FAILED = 1;

  /** Held, since a logger that nobody holds forgets its level. */
  private static final Logger LOG = Logger.getLogger("io.faithfulsae");

  private SaeCommand() {}

  /** Runs the command and ends the process with its exit code. */
  public static void main(String[] args) {
    System.setProperty("java.awt.headless", "true");
    System.getProperties()
        .putIfAbsent("java.util.logging.SimpleFormatter.format", "%4$s: %5$s%6$s%n");
    PrintWriter out = new PrintWriter(System.out, true, StandardCharsets.UTF_8);
    PrintWriter err = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    Interrupts.install();
    int code = run(out, err, args);
    System.exit(Interrupts.received() ? Interrupts.EXIT_CODE : code);
  }

  /** Runs the command in this process and returns its exit code. */
  static int run(PrintWriter out, PrintWriter err, String... args) {
    return run(out, err, System.getenv(), args);
  }

  static int run(
      PrintWriter out, PrintWriter err, Map<String, String> environment, String... args) {
    CommandLine line = line(out, err);
    OptionDefaults defaults;
    try {
      defaults = OptionDefaults.of(environment, line, args);
    } catch (IOException | IllegalArgumentException e) {
      err.println("sae: --config: " + message(e));
      return line.getCommandSpec().exitCodeOnInvalidInput();
    }
    line.setDefaultValueProvider(defaults);
    line.setParameterExceptionHandler((e, words) -> usageError(e, defaults, words));
    return line.execute(args);
  }

  /** The command with all its subcommands. */
  static CommandLine line(PrintWriter out, PrintWriter err) {
    CommandLine line = new CommandLine(new SaeCommand());
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.registerConverter(double.class, SaeCommand::finite);
    line.registerConverter(Double.class, SaeCommand::finite);
    OptionDefaults.addConfigOption(line);
    line.setExecutionStrategy(SaeCommand::execute);
    line.setExecutionExceptionHandler(SaeCommand::failure);
    return line;
  }

  /** NaN passes every range check, and infinity passes most. */
  private static double finite(String text) {
    double value;
    try {
      value = Double.parseDouble(text);
    } catch (NumberFormatException e) {
      value = Double.NaN;
    }
    if (!Double.isFinite(value)) {
      throw new CommandLine.TypeConversionException(
          Expected.message("a finite number", text, "use another"));
    }
    return value;
  }

  private static int execute(ParseResult parsed) {
    ParseResult command = parsed.hasSubcommand() ? parsed.subcommand() : parsed;
    OptionSpec quiet = command.commandSpec().findOption("--quiet");
    LOG.setLevel(quiet != null && (boolean) quiet.getValue() ? Level.WARNING : null);
    return OutputGuard.execute(parsed);
  }

  private static int usageError(
      CommandLine.ParameterException e, OptionDefaults defaults, String[] args) {
    CommandLine line = e.getCommandLine();
    String name = line.getCommandSpec().qualifiedName();
    // A misspelled option is also reported as missing; report the misspelling first.
    UnmatchedArgumentException unknown = unknown(e, line, args);
    line.getErr()
        .println(
            name
                + ": "
                + (unknown == null ? e : unknown).getMessage()
                + defaults.source(e.getArgSpec()));
    if (unknown != null) {
      UnmatchedArgumentException.printSuggestions(unknown, line.getErr());
    }
    line.getErr().println("Try '" + name + " --help'.");
    return line.getCommandSpec().exitCodeOnInvalidInput();
  }

  private static @Nullable UnmatchedArgumentException unknown(
      CommandLine.ParameterException e, CommandLine line, String[] args) {
    if (e instanceof UnmatchedArgumentException unmatched) {
      return unmatched;
    }
    List<String> unknown =
        Arrays.stream(args)
            .filter(arg -> arg.matches("--?[A-Za-z].*"))
            .filter(arg -> !line.getCommandSpec().optionsMap().containsKey(arg.split("=", 2)[0]))
            .toList();
    return e instanceof CommandLine.MissingParameterException && !unknown.isEmpty()
        ? new UnmatchedArgumentException(line, unknown)
        : null;
  }

  private static int failure(Exception e, CommandLine line, ParseResult parsed) {
    String name = line.getCommandSpec().qualifiedName();
    line.getErr().println(name + ": " + message(e));
    if (line.getParseResult().hasMatchedOption("--debug")) {
      e.printStackTrace(line.getErr());
    }
    return e instanceof StoppedException ? Interrupts.EXIT_CODE : FAILED;
  }

  /** Our own exceptions have messages that a user can act on; others need their type as well. */
  private static String message(Exception e) {
    if (e instanceof java.nio.file.NoSuchFileException missing) {
      return missing.getFile() + ": no such file or folder";
    }
    String text = e.getMessage();
    boolean plain =
        e instanceof IllegalArgumentException
            || e instanceof IllegalStateException
            || e.getClass() == IOException.class
            || e.getClass().getName().startsWith("io.faithfulsae.");
    return plain && text != null ? text : e.getClass().getSimpleName() + ": " + text;
  }
}
