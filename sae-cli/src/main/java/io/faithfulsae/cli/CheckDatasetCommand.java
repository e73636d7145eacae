package io.faithfulsae.cli;

import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.FirstTokens;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TextOptions;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.FirstTokenPlot;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae check-dataset}: a data set's contents, and whether it is the model's own. */
@Command(
    name = "check-dataset",
    description =
        "Counts a data set's tokens, measures its diversity, and compares its first tokens with the"
            + " model's own distribution after BOS.")
final class CheckDatasetCommand implements Callable<Integer>, WritesFiles {
  private static final int[] COVERED = {1, 2, 3};

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin ModelOptions models;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      required = true,
      description = "Data set: " + TextInputOptions.FORMATS)
  Path data;

  @Option(
      names = "--column",
      paramLabel = "NAME",
      defaultValue = "text",
      description =
          "Column (of tables) or field (of JSON lines) that holds the text (default: ${DEFAULT-VALUE}).")
  String column;

  @Option(
      names = "--against",
      paramLabel = "FILE",
      description =
          "Another text, to measure how much of its vocabulary and n-grams the data set covers.")
  @Nullable Path against;

  @Option(
      names = "--max-tokens",
      paramLabel = "N",
      defaultValue = "10000000",
      description = "Maximum tokens to read from each (default: ${DEFAULT-VALUE}).")
  long maxTokens;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write; a plot goes next to it, as FILE.png.")
  Path out;

  /**
   * The result.
   *
   * @param coverage share of the other text's distinct n-grams that the data set contains, for n =
   *     1, 2 and 3; empty without another text
   */
  record Checked(
      String data,
      String model,
      DataSetStatistics statistics,
      FirstTokens firstTokens,
      List<Double> coverage) {}

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
    Path folder = models.folder();
    try (OnnxModel model = models.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      TextOptions reading = TextOptions.DEFAULT.withColumn(column);
      TokenSource documents = TokenSources.documents(data, reading, tokenizer);
      List<Double> coverage = new ArrayList<>();
      Path other = against;
      if (other != null) {
        TokenSource others = TokenSources.documents(other, reading, tokenizer);
        for (int n : COVERED) {
          coverage.add(Metrics.coverage(documents, others, n, maxTokens));
        }
      }
      Checked checked =
          new Checked(
              documents.description(),
              model.name(),
              Metrics.dataSet(documents, maxTokens),
              Metrics.firstTokens(documents, model, maxTokens),
              coverage);
      Path picture = FirstTokenPlot.write(checked.firstTokens(), out);
      common.write(out, checked, text(checked, tokenizer) + "\n" + picture);
    }
    return 0;
  }

  private static String text(Checked checked, Tokenizer tokenizer) {
    DataSetStatistics counts = checked.statistics();
    FirstTokens first = checked.firstTokens();
    StringBuilder text = new StringBuilder();
    line(text, "sequences", "%,d, %,d distinct", counts.sequences(), counts.distinctSequences());
    line(text, "tokens", "%,d, %,d distinct", counts.tokens(), counts.distinctTokens());
    line(
        text,
        "length",
        "%.1f ± %.1f, %d to %d",
        counts.meanLength(),
        counts.lengthDeviation(),
        counts.minLength(),
        counts.maxLength());
    line(text, "token entropy", "%.3f nats", counts.tokenEntropy());
    line(text, "distinct-1 … 4", "%s", numbers(counts.distinctNGrams()));
    if (!checked.coverage().isEmpty()) {
      line(
          text,
          "n-gram coverage",
          "%s of the other text's (1-, 2-, 3-grams)",
          numbers(checked.coverage()));
    }
    line(
        text, "first tokens", "%,d, %,d distinct", first.sequences(), counts.distinctFirstTokens());
    if (first.withoutFirstToken() > 0) {
      line(
          text,
          "without one",
          "%,d, left out: empty texts without token ids do not show what was sampled",
          first.withoutFirstToken());
    }
    line(text, "KL(data ‖ model)", "%.4f nats", first.klDataFromModel());
    line(text, "KL(model ‖ data)", "%.4f nats", first.klModelFromData());
    line(text, "half Jeffreys", "%.4f nats", first.halfJeffreys());
    line(text, "Jensen-Shannon", "%.4f nats", first.jensenShannon());
    line(text, "cross entropy", "%.4f nats", first.crossEntropy());
    text.append("first tokens   data  model\n");
    for (FirstTokens.Share share : first.topOfData()) {
      text.append(
          String.format(
              Locale.ROOT,
              "  %-12s %.4f %.4f%n",
              "\"" + tokenizer.decode(new int[] {share.token()}).replace("\n", "\\n") + "\"",
              share.data(),
              share.model()));
    }
    return text.toString().stripTrailing();
  }

  private static void line(StringBuilder text, String name, String format, Object... values) {
    text.append(String.format(Locale.ROOT, "%-20s ", name))
        .append(String.format(Locale.ROOT, format, values))
        .append('\n');
  }

  private static String numbers(List<Double> values) {
    return values.stream()
        .map(value -> String.format(Locale.ROOT, "%.4f", value))
        .collect(Collectors.joining(", "));
  }
}
