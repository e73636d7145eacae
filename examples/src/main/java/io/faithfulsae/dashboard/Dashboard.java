package io.faithfulsae.dashboard;

import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Example;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.explain.Explainer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Some latents of an SAE, with tokens as text.
 *
 * @param sae folder of the SAE
 * @param model name of the language model
 * @param hook the hook point
 * @param text what was read
 * @param latents one for each
 */
public record Dashboard(String sae, String model, String hook, String text, List<Shown> latents) {

  /** Copies the list. */
  public Dashboard {
    latents = List.copyOf(latents);
  }

  /**
   * A latent.
   *
   * @param description what it is about
   * @param examples its examples' tokens as text, in the same order
   * @param raised the tokens that it raises, as text
   * @param lowered the tokens that it lowers, as text
   * @param explanation of an {@link Explainer}; null if none was asked
   */
  public record Shown(
      LatentDescription description,
      List<List<String>> examples,
      List<String> raised,
      List<String> lowered,
      @Nullable String explanation) {

    /** Puts tokens into words. */
    public static Shown of(LatentDescription description, Tokenizer tokenizer) {
      List<List<String>> texts = new ArrayList<>();
      for (Example example : description.examples()) {
        texts.add(example.tokens().stream().map(token -> tokenizer.decode(token)).toList());
      }
      return new Shown(
          description,
          texts,
          words(description.raised(), tokenizer),
          words(description.lowered(), tokenizer),
          null);
    }

    private static List<String> words(List<TokenEffect> effects, Tokenizer tokenizer) {
      return effects.stream().map(effect -> tokenizer.decode(effect.token())).toList();
    }

    /** The same with an explanation. */
    public Shown withExplanation(String phrase) {
      return new Shown(description, examples, raised, lowered, phrase);
    }

    /** What an explainer needs to see. */
    public Explainer.Evidence evidence() {
      List<Explainer.Text> texts = new ArrayList<>();
      for (int i = 0; i < examples.size(); i++) {
        texts.add(new Explainer.Text(examples.get(i), description.examples().get(i).activations()));
      }
      return new Explainer.Evidence(description.latent(), texts, raised);
    }
  }
}
