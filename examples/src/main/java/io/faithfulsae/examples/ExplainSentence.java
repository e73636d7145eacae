package io.faithfulsae.examples;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.TokenLatents;
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
        Sae sae = Sae.load(saeFolder, backend)) {
      for (TokenLatents token : model.explain(sae, sentence)) {
        System.out.println(token.text() + " " + token.latents()); // strongest first
        token.latents().forEach(active -> fired.add(active.latent()));
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
        Sae sae = Sae.load(saeFolder, backend)) {
      Tokenizer tokenizer = model.tokenizer(); // closed with the model
      TokenSource text = TokenSources.ofSequences("sentence", tokenizer.encode(sentence));
      var rows = new ModelActivations(model, sae.hookPoint(), text, ActivationFilter.NONE);
      var options = new LatentDescription.Options(1, 0, 0, 5);
      for (var each : Metrics.describe(sae, List.copyOf(latents), rows, options)) {
        var top = each.raised().stream().map(e -> tokenizer.decode(e.token()).strip()).toList();
        System.out.println("latent " + each.latent() + " promotes " + top);
      }
    }
  }
}
