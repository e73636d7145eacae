package io.faithfulsae.cli;

import java.util.concurrent.Callable;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sae completion}: lets a shell complete commands and options. */
@Command(
    name = "completion",
    description = {
      "Prints a script with which bash or zsh completes commands, options and files:",
      "source <(sae completion)"
    })
final class CompletionCommand implements Callable<Integer> {
  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  boolean help;

  @Spec CommandSpec command;

  @Override
  public Integer call() {
    command
        .commandLine()
        .getOut()
        .print(AutoComplete.bash("sae", command.root().commandLine()) + "\n");
    command.commandLine().getOut().flush();
    return 0;
  }
}
