package io.faithfulsae.cli;

import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.cli.console.Columns;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.Intervention;
import io.faithfulsae.models.Intervention.AddDirection;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae steer}: samples text with and without a change of one latent. */
@Command(
    name = "steer",
    description = {
      "Samples text from a model twice, as it is and while one latent of an SAE is steered, clamped"
          + " or ablated at every token.",
      "Both use the same random numbers. Prints them side by side."
    })
final class SteerCommand implements Callable<Integer> {
  @Mixin CommonOptions common;
  @Mixin ModelOptions models;
  @Mixin SamplingOptions sampling;
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
      description = "Hook point to change. Default: the one that the SAE writes.")
  @Nullable String hook;

  @Option(
      names = "--latent",
      paramLabel = "N",
      required = true,
      description = "The latent, from 0; sae dashboard shows where each fires.")
  int latent;

  @ArgGroup(exclusive = true, multiplicity = "1")
  Change change = new Change();

  /** What is done to the latent. */
  static final class Change {
    @Option(
        names = "--strength",
        paramLabel = "X",
        description = "Steer: add X times the latent's decoder direction; negative to steer away.")
    @Nullable Double strength;

    @Option(
        names = "--clamp",
        paramLabel = "X",
        description = "Set the latent's value to X; the SAE's reconstruction error stays.")
    @Nullable Double clamp;

    @Option(names = "--ablate", description = "The same with 0.")
    boolean ablate;

    /** At a hook point. */
    Intervention at(HookPoint point, Sae of, int latent) {
      return strength != null
          ? new AddDirection(point, of.decoderDirection(latent), strength)
          : new ClampLatent(point, of, latent, clamp == null ? 0 : clamp);
    }
  }

  @Option(
      names = "--prompt",
      paramLabel = "TEXT",
      description = "Text to continue, after BOS. Default: BOS alone.")
  @Nullable String prompt;

  @Option(
      names = "--texts",
      paramLabel = "N",
      defaultValue = "3",
      description = "Texts to sample each way (default: ${DEFAULT-VALUE}).")
  int texts;

  @Option(
      names = "--max-length",
      paramLabel = "N",
      defaultValue = "64",
      description =
          "Maximum tokens per text, BOS and prompt included (default: ${DEFAULT-VALUE}, or the"
              + " model's context).")
  int maxLength;

  /**
   * Text sampled with the same random numbers; without BOS and EOS.
   *
   * @param unsteered from the model as it is
   * @param steered with the latent changed
   */
  record Pair(String unsteered, String steered) {}

  /**
   * What was sampled.
   *
   * @param hook where the activations were changed
   * @param latent the latent
   * @param strength of steering; null if it was clamped
   * @param value that it was clamped to, 0 if ablated; null if it was steered
   * @param prompt as given
   * @param texts in the order of their random numbers
   */
  record Steered(
      String hook,
      int latent,
      @Nullable Double strength,
      @Nullable Double value,
      @Nullable String prompt,
      List<Pair> texts) {}

  @Override
  public Integer call() throws IOException {
    common.fromOptions(() -> settings(maxLength));
    Path folder = models.folder();
    try (Backend backend = Backends.best();
        Sae loaded = Sae.load(sae, backend);
        OnnxModel model = models.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      match.require(sae, loaded.metadata(), model, folder, models.dir != null);
      String target = loaded.targetHook();
      HookPoint point = SaeModelOptions.hookOf(sae, loaded, hook == null ? target : hook);
      Intervention intervention = change.at(point, loaded, latent);
      GenerationConfig settings = settings(Math.min(maxLength, model.contextLength()));
      List<Pair> pairs = sample(model, tokenizer, intervention, settings);
      Double value = intervention instanceof ClampLatent clamped ? clamped.value() : null;
      common.print(
          new Steered(point.toString(), latent, change.strength, value, prompt, pairs),
          table(pairs));
    }
    return 0;
  }

  private GenerationConfig settings(int longest) {
    return new GenerationConfig(
        1, longest, sampling.temperature, sampling.topP, sampling.seed, texts);
  }

  private List<Pair> sample(
      OnnxModel model, Tokenizer tokenizer, Intervention intervention, GenerationConfig settings) {
    int[] words = prompt == null ? new int[0] : tokenizer.encode(prompt);
    int[] tokens = IntStream.concat(IntStream.of(model.bosToken()), IntStream.of(words)).toArray();
    // The last token is sampled, not run.
    int longest = Math.max(1, settings.maxLength() - 1);
    try (Decoder decoder = model.decoder(texts, longest, List.of(intervention))) {
      List<int[]> steered = FaithfulDataset.continuations(model, decoder, tokens, settings);
      decoder.intervene(false);
      List<int[]> unsteered = FaithfulDataset.continuations(model, decoder, tokens, settings);
      List<Pair> pairs = new ArrayList<>();
      for (int i = 0; i < texts; i++) {
        pairs.add(new Pair(text(tokenizer, unsteered.get(i)), text(tokenizer, steered.get(i))));
      }
      return pairs;
    }
  }

  private static String text(Tokenizer tokenizer, int[] tokens) {
    boolean ended = tokens[tokens.length - 1] == tokenizer.eosToken();
    return tokenizer.decode(Arrays.copyOfRange(tokens, 1, tokens.length - (ended ? 1 : 0)));
  }

  private String table(List<Pair> pairs) {
    Columns columns = new Columns(common.command.usageMessage().width());
    columns.row("unsteered", "steered");
    pairs.forEach(pair -> columns.row(pair.unsteered(), pair.steered()));
    return columns.toString();
  }
}
