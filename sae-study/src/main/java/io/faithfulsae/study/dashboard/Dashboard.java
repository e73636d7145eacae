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
 * Some latents of an SAE, with tokens as text.
 *
 * @param sae folder of the SAE
 * @param model name of the language model
 * @param hook the hook point
 * @param text what was read
 * @param other folder of another SAE in which partners were looked for; null for none
 * @param latents one for each
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
   * @param description what it is about
   * @param examples its examples' tokens as text, in the same order
   * @param raised the tokens that it raises, as text
   * @param lowered the tokens that it lowers, as text
   * @param explanation of an {@link Explainer}; null if none was asked
   * @param score how well somebody tells by the explanation alone where it fires; null if nobody
   *     was asked
   * @param across its partners in another SAE; null if there is none
   */
  public record Shown(
      LatentDescription description,
      List<List<String>> examples,
      List<String> raised,
      List<String> lowered,
      @Nullable String explanation,
      @Nullable Score score,
      LatentCorrelations.@Nullable OfLatent across) {

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
          null,
          null,
          null);
    }

    private static List<String> words(List<TokenEffect> effects, Tokenizer tokenizer) {
      return effects.stream().map(effect -> tokenizer.decode(effect.token())).toList();
    }

    /** The same with an explanation. */
    public Shown withExplanation(String phrase) {
      return new Shown(description, examples, raised, lowered, phrase, score, across);
    }

    /** The same with the score of its explanation. */
    public Shown withScore(DetectionScore found) {
      return new Shown(
          description, examples, raised, lowered, explanation, Score.of(found), across);
    }

    /** The same with its partners in another SAE. */
    public Shown withAcross(LatentCorrelations.OfLatent partners) {
      return new Shown(description, examples, raised, lowered, explanation, score, partners);
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

  /**
   * A detection score with its figures.
   *
   * @param counts what was told rightly and wrongly
   * @param accuracy share told rightly
   * @param balancedAccuracy mean of the shares of either kind that were told rightly
   * @param f1 of the firing snippets
   */
  public record Score(DetectionScore counts, double accuracy, double balancedAccuracy, double f1) {
    static Score of(DetectionScore counts) {
      return new Score(counts, counts.accuracy(), counts.balancedAccuracy(), counts.f1());
    }
  }
}
