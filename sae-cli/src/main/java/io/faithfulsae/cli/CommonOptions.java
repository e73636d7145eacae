package io.faithfulsae.cli;

import io.faithfulsae.cli.console.ConsoleListener;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.study.StudyListener;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Supplier;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Options and output shared by all subcommands. */
final class CommonOptions {
  @Option(names = "--json", description = "Print the result as one line of JSON.")
  boolean json;

  @Option(names = "--quiet", description = "Print results, warnings and errors, but no progress.")
  boolean quiet;

  @Option(names = "--debug", description = "Print the stack trace of a failure.")
  boolean debug;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  boolean help;

  @Spec(Spec.Target.MIXEE)
  CommandSpec command;

  /** Shows the command's progress on standard error unless quiet, and stops it on Ctrl-C. */
  StudyListener listener() {
    return new ConsoleListener(command.commandLine().getErr(), command.name() + ": ", quiet);
  }

  /** Shows the progress of work that cannot be stopped. <b>Closed by</b> the caller. */
  WorkProgress progress(String task, String unit, long total) {
    return listener().begin(task, unit, 0, total);
  }

  /** Tells the user something about the work, on standard error unless quiet. */
  void say(String text) {
    if (!quiet) {
      command.commandLine().getErr().println(text);
    }
  }

  /** Prints the result: as JSON if requested, else as text. */
  void print(Object result, String text) {
    command.commandLine().getOut().println(json ? Json.line(result) : text);
  }

  /** Writes the result to a file, then prints it. */
  void write(Path file, Object result, String text) throws IOException {
    AtomicFile.writeString(file, Json.pretty(result));
    print(result, text + "\n" + file);
  }

  /** Creates a value from options; a rejected value is an error in the command line. */
  <T> T fromOptions(Supplier<T> make) {
    try {
      return make.get();
    } catch (IllegalArgumentException e) {
      throw new ParameterException(command.commandLine(), e.getMessage(), e);
    }
  }

  ParameterException usage(String message) {
    return new ParameterException(command.commandLine(), message);
  }
}
