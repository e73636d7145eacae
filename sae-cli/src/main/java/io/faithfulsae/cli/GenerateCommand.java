package io.faithfulsae.cli;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.study.work.Generation;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae generate}: samples a faithful data set. */
@Command(
    name = "generate",
    description =
        "Samples a model's faithful data set from its BOS token, as JSON lines. Stopped, the same command resumes.")
final class GenerateCommand implements Callable<Integer> {
  @Mixin CommonOptions common;
  @Mixin ModelOptions models;
  @Mixin SamplingOptions sampling;

  @Option(
      names = "--budget",
      paramLabel = "N",
      required = true,
      description = "Tokens to sample, BOS included.")
  long budget;

  @Option(
      names = "--max-length",
      paramLabel = "N",
      defaultValue = "1024",
      description =
          "Maximum tokens per text, BOS included (default: ${DEFAULT-VALUE}, or the model's context).")
  int maxLength;

  @Option(
      names = "--batch",
      paramLabel = "N",
      defaultValue = "64",
      description = "Texts sampled in parallel (default: ${DEFAULT-VALUE}).")
  int batch;

  @Option(
      names = "--out",
      paramLabel = "FILE.jsonl",
      required = true,
      description = "File to write.")
  Path out;

  @Override
  public Integer call() throws IOException {
    common.fromOptions(() -> settings(maxLength));
    Path folder = models.folder();
    try (OnnxModel model = models.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      GenerationConfig settings = settings(Math.min(maxLength, model.contextLength()));
      FaithfulDataset.Result result =
          Generation.run("generate", model, tokenizer, settings, out, common.listener());
      common.print(
          result,
          String.format(
              Locale.ROOT,
              "%,d tokens in %,d texts, %.0f tokens/s; %.1f %% of the texts tokenize differently when read again%n%s",
              result.tokens(),
              result.records(),
              result.tokensPerSecond(),
              100 * result.retokenizedDifferently(),
              result.file()));
    }
    return 0;
  }

  private GenerationConfig settings(int longest) {
    return new GenerationConfig(
        budget, longest, sampling.temperature, sampling.topP, sampling.seed, batch);
  }
}
