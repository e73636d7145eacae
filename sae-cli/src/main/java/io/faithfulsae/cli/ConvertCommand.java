package io.faithfulsae.cli;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.SaeFormats;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
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
      description =
          "saelens, sparsify, dictionary_learning, or the name of a format from a jar on the class"
              + " path.")
  String format;

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
    SaeFormat into = common.fromOptions(() -> SaeFormats.named(format));
    Path target = to.toAbsolutePath();
    Path unfinished = target.resolveSibling("." + target.getFileName() + ".converting");
    requireSaeOnly(unfinished, List.of()); // of a run that was killed
    deleteAll(unfinished);
    try (Backend backend = Backends.best();
        Sae original = Sae.load(from, backend)) {
      original.save(unfinished, into);
      double difference;
      try (Sae converted = Sae.load(unfinished, backend)) {
        difference = OutputComparison.require(original, converted);
      }
      requireSaeOnly(target, files(unfinished));
      deleteAll(target);
      AtomicFile.rename(unfinished, target);
      common.print(
          new Converted(
              from.toString(),
              to.toString(),
              into.name().toLowerCase(Locale.ROOT),
              InfoCommand.activation(original.config()),
              difference),
          String.format(
              Locale.ROOT,
              "%s: %s of %s; outputs differ by at most %.1g",
              to,
              into.name(),
              from,
              difference));
    } finally {
      deleteAll(unfinished);
    }
    return 0;
  }

  /** Checks that a folder, if there is one, is an SAE's: only such a folder is replaced. */
  private static void requireSaeOnly(Path folder, List<Path> written) throws IOException {
    Set<Path> known = new HashSet<>();
    SAE_FILES.forEach(name -> known.add(Path.of(name)));
    written.forEach(file -> known.add(file.getFileName())); // what the format has files for
    for (Path file : files(folder)) {
      if (!known.contains(file.getFileName()) || Files.isDirectory(file)) {
        throw new IOException(
            Expected.message(
                "a folder with nothing but an SAE to replace", file, "choose another --to"));
      }
    }
  }

  private static List<Path> files(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.toList();
    }
  }

  /** Deletes a folder of files. */
  private static void deleteAll(Path folder) throws IOException {
    for (Path file : files(folder)) {
      Files.delete(file);
    }
    Files.deleteIfExists(folder);
  }
}
