package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Prints which latents of an SAE fire on each token of a sentence, and what they promote. */
public final class ExplainSentence {
  private ExplainSentence() {}

  /**
   * Runs it.
   *
   * @param args the folder that {@link TrainOnModel} wrote and, optionally, a sentence
   */
  public static void main(String[] args) throws IOException {
    Path modelFolder = Path.of(args[0]).resolve("model");
    Path saeFolder = Path.of(args[0]).resolve("sae");
    String sentence = args.length > 1 ? args[1] : "once upon a time a dog ran into the garden.";
    Set<Integer> fired = new TreeSet<>();
    // begin explain
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(modelFolder);
        Tokenizer tokenizer = Tokenizer.open(modelFolder);
        Sae sae = Sae.load(saeFolder, backend)) {
      HookPoint hook = HookPoint.parse(sae.metadata().getOrDefault("hook_name", "unknown"));
      int[] tokens = tokenizer.encode(tokenizer.decode(model.bosToken()) + sentence);
      try (var x = ActivationBatch.allocate(backend, tokens.length, model.dModel())) {
        model.activations(hook, new int[][] {tokens}, x.data());
        x.rows(tokens.length);
        try (Latents z = sae.encode(x)) {
          for (int i = 1; i < tokens.length; i++) { // row 0 is BOS
            System.out.printf("%-10s", tokenizer.decode(tokens[i]));
            for (int at = i * z.k(); at < (i + 1) * z.k(); at++) { // strongest first
              System.out.printf(" %4d (%.1f)", z.indices().get(at), z.values().get(at));
              fired.add(z.indices().get(at));
            }
            System.out.println();
          }
        }
      }
    }
    // end explain
    printPromotedTokens(modelFolder, saeFolder, sentence, fired);
  }

  /** Prints the next tokens whose logits each latent's decoder direction raises most. */
  private static void printPromotedTokens(
      Path modelFolder, Path saeFolder, String sentence, Set<Integer> latents) throws IOException {
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(modelFolder);
        Tokenizer tokenizer = Tokenizer.open(modelFolder);
        Sae sae = Sae.load(saeFolder, backend)) {
      HookPoint hook = HookPoint.parse(sae.metadata().getOrDefault("hook_name", "unknown"));
      TokenSource text = TokenSources.ofSequences("sentence", tokenizer.encode(sentence));
      var rows = new ModelActivations(model, hook, text, ActivationFilter.NONE);
      var options = new LatentDescription.Options(1, 0, 0, 5);
      for (var each : Metrics.describe(sae, List.copyOf(latents), rows, options)) {
        var top = each.raised().stream().map(e -> tokenizer.decode(e.token()).strip()).toList();
        System.out.println("latent " + each.latent() + " promotes " + top);
      }
    }
  }
}
