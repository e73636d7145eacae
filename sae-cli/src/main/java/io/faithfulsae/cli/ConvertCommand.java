package io.faithfulsae.cli;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae convert}: saves an SAE in another library's format. */
@Command(
    name = "convert",
    description = {
      "Saves an SAE of any library that sae reads in another one's format.",
      "Before the folder gets its name, the outputs of both are compared on random rows."
    })
final class ConvertCommand implements Callable<Integer>, WritesFiles {
  /** What an SAE's folder may hold if it is to be replaced. */
  private static final Set<String> SAE_FILES =
      Set.of(
          "cfg.json",
          "sae_weights.safetensors",
          "sae.safetensors",
          "config.json",
          "ae.pt",
          "sparsity.safetensors",
          ".lock");

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;

  @Option(
      names = "--from",
      paramLabel = "DIR",
      required = true,
      description = "SAE folder or file, of any library that sae reads.")
  Path from;

  @Option(names = "--to", paramLabel = "DIR", required = true, description = "Folder to write.")
  Path to;

  @Option(
      names = "--format",
      paramLabel = "NAME",
      required = true,
      description = "${COMPLETION-CANDIDATES}.")
  SaeFormat format;

  /**
   * What was written.
   *
   * @param from as given
   * @param to as given
   * @param format its format
   * @param activation topk, batchtopk, relu, jumprelu, gated, groupmax or abstopk
   * @param largestDifference between outputs of both on random rows, relative to the largest output
   */
  record Converted(
      String from, String to, String format, String activation, double largestDifference) {}

  @Override
  public List<Path> files() {
    return List.of(to);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    Path target = to.toAbsolutePath();
    Path unfinished = target.resolveSibling("." + target.getFileName() + ".converting");
    delete(unfinished);
    try (Backend backend = Backends.best();
        Sae original = Sae.load(from, backend)) {
      original.save(unfinished, format);
      double difference;
      try (Sae converted = Sae.load(unfinished, backend)) {
        difference = OutputComparison.require(original, converted);
      }
      delete(target);
      Files.move(unfinished, target);
      common.print(
          new Converted(
              from.toString(),
              to.toString(),
              format.id(),
              InfoCommand.activation(original.config()),
              difference),
          String.format(
              Locale.ROOT,
              "%s: %s of %s; outputs differ by at most %.1g",
              to,
              format.id(),
              from,
              difference));
    } finally {
      delete(unfinished);
    }
    return 0;
  }

  /** Deletes an SAE's folder, and no other. */
  private static void delete(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    List<Path> files;
    try (Stream<Path> entries = Files.list(folder)) {
      files = entries.toList();
    }
    for (Path file : files) {
      String name = String.valueOf(file.getFileName());
      if (!SAE_FILES.contains(name) || Files.isDirectory(file)) {
        throw new IOException(
            Expected.message(
                "a folder with nothing but an SAE to replace", file, "choose another --to"));
      }
    }
    for (Path file : files) {
      Files.delete(file);
    }
    Files.delete(folder);
  }
}
