package io.faithfulsae.cli;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.PairedSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.ModelHash;
import io.faithfulsae.study.provenance.TrainedOn;
import io.faithfulsae.study.work.TrainingSession;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingResult;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae train}: trains one SAE. */
@Command(
    name = "train",
    description = {
      "Trains an SAE (TopK, or see --activation) on a model's activations (--model, --hook, --data) or on stored ones"
          + " (--activations), or on those of another jar (--source).",
      "Ctrl-C keeps a checkpoint; --resume continues to the same weights, bit for bit."
    })
final class TrainCommand implements Callable<Integer> {
  @Mixin CommonOptions common;
  @Mixin ModelOptions models;
  @Mixin FilterOptions filters;
  @Mixin TextInputOptions reading;
  @Mixin OverwriteOption overwriting;
  @Mixin LogOptions logging;

  @Option(
      names = "--hook",
      paramLabel = "HOOK",
      description = "Hook point, such as blocks.2.hook_resid_pre.")
  @Nullable String hook;

  @Option(
      names = "--target-hook",
      paramLabel = "HOOK",
      description =
          "Train a transcoder: it reads --hook and writes this hook point of the same pass, such as"
              + " blocks.2.hook_mlp_out.")
  @Nullable String targetHook;

  @Option(
      names = "--skip",
      description = "With --target-hook: also train a linear map from the input to the output.")
  boolean skip;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      description = "Text: FILE.jsonl from 'generate', or any other: " + TextInputOptions.FORMATS)
  @Nullable Path data;

  @Option(
      names = "--context",
      paramLabel = "N",
      defaultValue = "128",
      description = "Tokens per sequence (default: ${DEFAULT-VALUE}, or the model's context).")
  int context;

  @Option(
      names = "--activations",
      paramLabel = "DIR",
      description =
          "Folder of shards that 'activations' wrote, or of any *.safetensors with 'activations'"
              + " [n, d], in place of model, hook and data.")
  @Nullable Path activations;

  @Option(
      names = "--source",
      paramLabel = "NAME[:ARGUMENT]",
      description =
          "Activations from a source of that name in a jar on the class path, in place of model,"
              + " hook and data.")
  @Nullable String source;

  @Option(names = "--d-sae", paramLabel = "N", required = true, description = "Latents.")
  int dSae;

  @Mixin ActivationOptions activation;

  @Mixin TrainingOptions settings;

  @Option(
      names = "--normalization",
      paramLabel = "KIND",
      defaultValue = "none",
      description =
          "Normalization of each row: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}).")
  SaeConfig.Normalization normalization;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      required = true,
      description = "Folder for cfg.json and sae_weights.safetensors.")
  Path out;

  @Option(
      names = "--resume",
      description = "Resume from the checkpoint in --out; without one, start.")
  boolean resume;

  /**
   * The outcome of a training.
   *
   * @param out folder of the SAE
   * @param steps total steps
   * @param tokens rows trained on
   * @param epochs complete passes over the source
   * @param counts what the source kept and left out
   * @param last the last step; null if none was done since the run was resumed
   */
  record Trained(
      String out,
      TrainingResult.Reason reason,
      long steps,
      long tokens,
      long epochs,
      ActivationFilter.Counts counts,
      @Nullable LastStep last) {}

  /** Metrics of the last step. */
  record LastStep(double loss, double fvu, double l0, long dead, double tokensPerSecond) {}

  @Override
  public Integer call() throws IOException {
    common.fromOptions(
        () -> settings.config(activation, activation.config(1, dSae), targetHook != null));
    if (skip && targetHook == null) {
      throw common.usage(
          Expected.message("--target-hook with --skip", "none", "add --target-hook HOOK"));
    }
    requireNoFinishedSae();
    Path stored = activations;
    String other = source;
    if ((stored != null || other != null)
        && (hook != null
            || data != null
            || targetHook != null
            || (stored != null && other != null))) {
      throw common.usage(
          Expected.message(
              "--activations, --source, or --model, --hook, --data and --target-hook",
              "two of them",
              "leave out one"));
    }
    if (other != null) {
      NamedPlugIn named = NamedPlugIn.of(other);
      ActivationSource.Provider provider =
          common.fromOptions(() -> ActivationSources.provider(named.name()));
      Map<String, String> metadata = new TreeMap<>(Map.of("dataset_path", other));
      ActivationSource rows =
          named.opened(
              provider,
              () -> {
                metadata.putAll(provider.metadata(named.argument()));
                return provider.open(named.argument());
              });
      return train(rows, metadata);
    }
    if (stored != null) {
      // Shards from 'activations' record their model, hook and text, as training on these does.
      Map<String, String> metadata =
          ShardIndex.isIn(stored)
              ? ShardIndex.read(stored).metadata()
              : Map.of("dataset_path", stored.toString());
      return train(ActivationSources.ofShards(stored), metadata);
    }
    String name = hook;
    Path text = data;
    if (name == null || text == null) {
      throw common.usage(
          Expected.message(
              "--hook and --data (with --model), --activations or --source",
              name == null && text == null ? "neither" : name == null ? "no --hook" : "no --data",
              "add what is missing"));
    }
    HookPoint point = common.fromOptions(() -> HookPoint.parse(name));
    String writes = targetHook;
    HookPoint target = writes == null ? null : common.fromOptions(() -> HookPoint.parse(writes));
    Path folder = models.folder();
    try (OnnxModel model = models.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      int length = Math.min(context, model.contextLength());
      TokenSource sequences = TokenSources.ofFile(text, reading.options(), tokenizer, length);
      ActivationFilter filter = filters.forTraining(model, point, sequences, models.batchSequences);
      TrainedOn rows = new TrainedOn(model.name(), point, text.toString(), length, filter);
      Map<String, String> metadata = new TreeMap<>(rows.metadata());
      metadata.put(ModelMatch.HASH, ModelHash.of(folder));
      if (target == null) {
        return train(
            ActivationSources.ofModel(model, point, sequences, filter, models.batchSequences),
            metadata);
      }
      metadata.put("hook_name_out", target.toString()); // SAELens' name
      return train(
          ActivationSources.ofModel(model, point, target, sequences, filter, models.batchSequences),
          metadata);
    }
  }

  private int train(ActivationSource source, Map<String, String> metadata) throws IOException {
    SaeConfig shape =
        source instanceof PairedSource pairs
            ? activation.transcoder(pairs, dSae, skip)
            : activation.config(source.dIn(), dSae);
    shape = shape.withNormalization(normalization);
    TrainingConfig training = settings.config(activation, shape, source instanceof PairedSource);
    common.say(settings.summary(shape, training));
    try (Backend backend = Backends.best();
        LogOptions.Logs logs = logging.open()) {
      requireNoFinishedSae(); // one may have appeared while the model was opened
      SaeTrainer trainer = logs.of(SaeTrainer.of(shape, training, backend).withMetadata(metadata));
      TrainingResult result =
          TrainingSession.run(
                  "train", List.of(trainer), source, List.of(out), resume, common.listener())
              .get(0);
      String last =
          result
              .last()
              .map(
                  now ->
                      String.format(
                          Locale.ROOT,
                          ": loss %.4g, FVU %.4f, L0 %.1f, dead %d",
                          now.loss(),
                          now.fvu(),
                          now.l0(),
                          now.dead()))
              .orElse("");
      common.print(
          trained(result),
          "%d steps, %d rows%s%n%s".formatted(result.steps(), result.tokens(), last, out));
    }
    return 0;
  }

  /**
   * An SAE in the folder is either the end of a run to resume, or must not be silently replaced.
   */
  private void requireNoFinishedSae() throws IOException {
    boolean resumes = resume && TrainingSession.isBegun(List.of(out));
    if (!overwriting.allowed && !resumes) {
      OutputGuard.requireNone(out.resolve("cfg.json"));
    }
  }

  private Trained trained(TrainingResult result) {
    return new Trained(
        out.toString(),
        result.reason(),
        result.steps(),
        result.tokens(),
        result.epochs(),
        result.counts(),
        result
            .last()
            .map(
                last ->
                    new LastStep(
                        last.loss(), last.fvu(), last.l0(), last.dead(), last.tokensPerSecond()))
            .orElse(null));
  }
}
