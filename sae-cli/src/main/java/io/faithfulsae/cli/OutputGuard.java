package io.faithfulsae.cli;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.ParseResult;

/** Runs a command and locks its output files for the duration. */
final class OutputGuard {
  private OutputGuard() {}

  /** The execution strategy of {@code sae}. */
  static int execute(ParseResult parsed) {
    ParseResult last = parsed;
    while (last.hasSubcommand()) {
      last = last.subcommand();
    }
    if (last.isUsageHelpRequested()
        || last.isVersionHelpRequested()
        || !(last.commandSpec().userObject() instanceof WritesFiles command)) {
      return new CommandLine.RunLast().execute(parsed);
    }
    List<OutputLock> locks = new ArrayList<>();
    try {
      for (Path file : command.files()) {
        locks.add(OutputLock.ofFile(file));
        if (!command.overwriting().allowed) {
          requireNone(file);
        }
      }
      return new CommandLine.RunLast().execute(parsed);
    } catch (IOException e) {
      throw new CommandLine.ExecutionException(
          last.commandSpec().commandLine(), String.valueOf(e.getMessage()), e);
    } finally {
      locks.forEach(OutputLock::close);
    }
  }

  /**
   * Rejects a file that would replace a finished result.
   *
   * @throws IOException if the file exists
   */
  static void requireNone(Path file) throws IOException {
    if (Files.exists(file)) {
      throw new IOException(
          Expected.message(
              "no result in " + file + " yet",
              "one",
              "add --overwrite to replace it, or another --out"));
    }
  }

  /** A file next to {@code out}, with another extension. */
  static Path sibling(Path out, String ending, String other) {
    String name = String.valueOf(out.getFileName());
    String stem = name.endsWith(ending) ? name.substring(0, name.length() - ending.length()) : name;
    return out.resolveSibling(stem + other);
  }
}
