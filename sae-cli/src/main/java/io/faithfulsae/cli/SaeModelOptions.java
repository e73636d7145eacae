package io.faithfulsae.cli;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.cli.console.Closer;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TextOptions;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.TrainedOn;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** An SAE and the hook point that it belongs to. */
final class SaeModelOptions {
  private static final int DEFAULT_CONTEXT = 128;

  @Mixin ModelOptions models;
  @Mixin FilterOptions filters;
  @Mixin TextInputOptions reading;
  @Mixin ModelMatch match;

  @Option(
      names = "--sae",
      paramLabel = "DIR",
      required = true,
      description = "SAE folder (cfg.json, sae_weights.safetensors).")
  Path sae;

  @Option(
      names = "--hook",
      paramLabel = "HOOK",
      description = "Hook point. Default: the SAE's own.")
  @Nullable String hook;

  @Option(
      names = "--context",
      paramLabel = "N",
      description = "Tokens per sequence. Default: as the SAE was trained, or the model's context.")
  @Nullable Integer context;

  /** Opens everything; close the result. */
  Opened open() throws IOException {
    Path folder = models.folder();
    // On failure, closes what has been opened so far.
    try (Closer opening = new Closer()) {
      Backend backend = opening.add(Backends.best());
      Sae loaded = opening.add(Sae.load(sae, backend));
      HookPoint point = hookOf(sae, loaded, hook);
      ActivationFilter filter = filters.forEvaluation(loaded.metadata());
      OnnxModel model = opening.add(models.open(folder));
      ModelCheck check =
          (of, other) -> match.require(of, other.metadata(), model, folder, models.dir != null);
      check.require(sae, loaded);
      Tokenizer tokenizer = opening.add(Tokenizer.open(folder));
      int length = contextOf(loaded, model.contextLength());
      return new Opened(
          loaded,
          model,
          tokenizer,
          point,
          length,
          filter,
          reading.options(),
          check,
          opening.keep());
    }
  }

  /** Checks that an SAE belongs to the model. */
  private interface ModelCheck {
    void require(Path folder, Sae of) throws IOException;
  }

  /**
   * A hook point.
   *
   * @param folder of the SAE
   * @param hook its name; null for the one that the SAE was trained on
   * @throws IllegalArgumentException if there is none
   */
  static HookPoint hookOf(Path folder, Sae loaded, @Nullable String hook) {
    String name = hook == null ? loaded.metadata().get("hook_name") : hook;
    if (name == null) {
      throw new IllegalArgumentException(
          Expected.message("a hook point", "none: " + folder + " does not name one", "add --hook"));
    }
    return HookPoint.parse(name);
  }

  private int contextOf(Sae loaded, int longest) {
    Map<String, String> metadata = loaded.metadata();
    int wanted = context == null ? TrainedOn.contextOf(metadata, DEFAULT_CONTEXT) : context;
    return Math.min(wanted, longest);
  }

  /**
   * An SAE on its model.
   *
   * @param context tokens per sequence
   * @param filter that of training, unless an option overrides it
   * @param reading how to read text
   * @param check whether another SAE belongs to the model
   */
  record Opened(
      Sae sae,
      OnnxModel model,
      Tokenizer tokenizer,
      HookPoint hook,
      int context,
      ActivationFilter filter,
      TextOptions reading,
      ModelCheck check,
      Closer resources)
      implements AutoCloseable {
    /** Rejects another SAE if it was trained on another model. */
    void requireSameModel(Path folder, Sae other) throws IOException {
      check.require(folder, other);
    }

    /** Sequences of a text, as long as in training. */
    TokenSource text(Path file) throws IOException {
      return TokenSources.ofFile(file, reading, tokenizer, context);
    }

    /** The model with its hook point. */
    HookedModel hooked() {
      return new HookedModel(model, hook);
    }

    /** What the SAE is evaluated on: the activations that the filter keeps, on a text. */
    ModelActivations activations(TokenSource text) {
      return new ModelActivations(hooked(), text, filter);
    }

    @Override
    public void close() {
      resources.close();
    }
  }
}
