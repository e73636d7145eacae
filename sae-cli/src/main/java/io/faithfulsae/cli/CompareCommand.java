package io.faithfulsae.cli;

import io.faithfulsae.study.compare.Comparer;
import io.faithfulsae.study.compare.Comparison;
import io.faithfulsae.study.compare.ComparisonPlot;
import io.faithfulsae.study.compare.ComparisonTable;
import io.faithfulsae.study.compare.ResultFile;
import io.faithfulsae.study.compare.Run;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code sae compare}: compares data sets over models and tasks. */
@Command(
    name = "compare",
    description =
        "Compares the data sets of finished runs over models and tasks: averages, differences,"
            + " wins and paired tests.")
final class CompareCommand implements Callable<Integer>, WritesFiles {
  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;

  @Parameters(
      paramLabel = "FILE",
      arity = "1..*",
      description = "Result files: probing, fake features, or a study's results.json.")
  List<Path> files = List.of();

  @Option(
      names = "--datasets",
      paramLabel = "NAME",
      split = ",",
      description =
          "Data sets to compare, in this order; faithful-MODEL counts as faithful. Default: those"
              + " of more than half of the models.")
  List<String> dataSets = List.of();

  @Option(
      names = "--measures",
      paramLabel = "NAME",
      split = ",",
      description =
          "Measures to compare. Default: those present among sae_acc, sae_f1, avg_fake_feature_ratio, sfr_matched, ce_difference and explained_variance.")
  List<String> measures = List.of();

  @Option(
      names = "--by-seed",
      description =
          "Compare the SAEs of a study seed by seed; without it, each model and task counts once, with the mean over seeds.")
  boolean bySeed;

  @Option(
      names = "--resamples",
      paramLabel = "N",
      defaultValue = "10000",
      description = "Bootstrap resamples (default: ${DEFAULT-VALUE}).")
  int resamples;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Random seed of the bootstrap (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write; a plot goes next to it, as FILE.png.")
  Path out;

  @Override
  public List<Path> files() {
    return List.of(out, OutputGuard.sibling(out, ".json", ".png"));
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    List<Run> runs = ResultFile.read(files, bySeed);
    Comparison comparison =
        Comparer.compare(
            files.stream().map(Path::toString).toList(),
            runs,
            new Comparer.Options(dataSets, measures, resamples, seed));
    Path picture = ComparisonPlot.write(comparison, out);
    common.write(out, comparison, ComparisonTable.text(comparison) + "\n\n" + picture);
    return 0;
  }
}
