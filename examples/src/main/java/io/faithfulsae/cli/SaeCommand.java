package io.faithfulsae.cli;

import io.faithfulsae.console.Interrupts;
import io.faithfulsae.console.StoppedException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParseResult;

/** The command {@code sae}. */
@Command(
    name = "sae",
    description =
        "Trains, runs and judges sparse autoencoders on the activations of language models.",
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
      DashboardCommand.class
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:done",
      "1:failed; the reason is one line on standard error",
      "2:the command line cannot be used as it stands",
      "130:stopped by Ctrl-C; training has kept a checkpoint for --resume"
    },
    footerHeading = "%nEnvironment:%n",
    footer = {
      "  -Dsae.backend=cpu|cuda before -jar forces a backend; without it the best usable one is"
          + " taken."
    })
public final class SaeCommand {
  static final int FAILED = 1;

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
    CommandLine line = new CommandLine(new SaeCommand());
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.registerConverter(double.class, SaeCommand::finite);
    line.registerConverter(Double.class, SaeCommand::finite);
    line.setParameterExceptionHandler(SaeCommand::usageError);
    line.setExecutionExceptionHandler(SaeCommand::failure);
    return line.execute(args);
  }

  /** NaN passes every comparison that would refuse it, and infinity most. */
  private static double finite(String text) {
    double value;
    try {
      value = Double.parseDouble(text);
    } catch (NumberFormatException e) {
      value = Double.NaN;
    }
    if (!Double.isFinite(value)) {
      throw new CommandLine.TypeConversionException(
          "expected a finite number, got " + text + "; use another");
    }
    return value;
  }

  private static int usageError(CommandLine.ParameterException e, String[] args) {
    CommandLine line = e.getCommandLine();
    String name = line.getCommandSpec().qualifiedName();
    line.getErr().println(name + ": " + e.getMessage());
    line.getErr().println("Try '" + name + " --help'.");
    return line.getCommandSpec().exitCodeOnInvalidInput();
  }

  private static int failure(Exception e, CommandLine line, ParseResult parsed) {
    String name = line.getCommandSpec().qualifiedName();
    line.getErr().println(name + ": " + message(e));
    if (line.getParseResult().hasMatchedOption("--debug")) {
      e.printStackTrace(line.getErr());
    }
    return e instanceof StoppedException ? Interrupts.EXIT_CODE : FAILED;
  }

  /**
   * What a user can act on: the messages of our own exceptions stand alone, others need their kind.
   */
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
