package io.faithfulsae.study.dashboard;

import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Example;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.explain.DetectionScore;
import io.faithfulsae.models.explain.Explainer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A selection of an SAE's latents, with tokens as text.
 *
 * @param sae folder of the SAE
 * @param model name of the language model
 * @param hook the hook point
 * @param text the text that was read
 * @param other folder of another SAE that was searched for partners; null for none
 * @param latents one entry per latent
 */
public record Dashboard(
    String sae,
    String model,
    String hook,
    String text,
    @Nullable String other,
    List<Shown> latents) {

  /** Copies the list. */
  public Dashboard {
    latents = List.copyOf(latents);
  }

  /**
   * A latent.
   *
   * @param description its statistics and examples
   * @param examples its examples' tokens as text, in the same order
   * @param raised the tokens that it promotes, as text
   * @param lowered the tokens that it suppresses, as text
   * @param explanation from an {@link Explainer}; null if none was asked
   * @param score how well a judge predicts from the explanation alone where it fires; null if none
   *     was asked
   * @param across its partners in another SAE; null if there are none
   */
  public record Shown(
      LatentDescription description,
      List<List<String>> examples,
      List<String> raised,
      List<String> lowered,
      @Nullable String explanation,
      @Nullable Score score,
      LatentCorrelations.@Nullable OfLatent across) {

    /** Converts tokens to text. */
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
          null,
          null,
          null);
    }

    private static List<String> words(List<TokenEffect> effects, Tokenizer tokenizer) {
      return effects.stream().map(effect -> tokenizer.decode(effect.token())).toList();
    }

    /** The same latent with an explanation. */
    public Shown withExplanation(String phrase) {
      return new Shown(description, examples, raised, lowered, phrase, score, across);
    }

    /** The same latent with the score of its explanation. */
    public Shown withScore(DetectionScore found) {
      return new Shown(
          description, examples, raised, lowered, explanation, Score.of(found), across);
    }

    /** The same latent with its partners in another SAE. */
    public Shown withAcross(LatentCorrelations.OfLatent partners) {
      return new Shown(description, examples, raised, lowered, explanation, score, partners);
    }

    /** The input for an explainer. */
    public Explainer.Evidence evidence() {
      List<Explainer.Text> texts = new ArrayList<>();
      for (int i = 0; i < examples.size(); i++) {
        texts.add(new Explainer.Text(examples.get(i), description.examples().get(i).activations()));
      }
      return new Explainer.Evidence(description.latent(), texts, raised);
    }
  }

  /**
   * A detection score with its metrics.
   *
   * @param counts correct and incorrect judgments
   * @param accuracy share of correct judgments
   * @param balancedAccuracy mean accuracy on firing and on silent snippets
   * @param f1 F1 score, with firing as the positive class
   */
  public record Score(DetectionScore counts, double accuracy, double balancedAccuracy, double f1) {
    static Score of(DetectionScore counts) {
      return new Score(counts, counts.accuracy(), counts.balancedAccuracy(), counts.f1());
    }
  }
}
