package io.faithfulsae.models.explain;

import java.io.IOException;
import java.util.List;

/** Names a latent based on where it fires. Never called unless the user requests it. */
public interface Explainer {

  /**
   * Describes in a short phrase what a latent represents.
   *
   * @throws IOException if there was no answer; the message says why
   * @throws InterruptedException if the thread was interrupted while waiting
   */
  String explain(Evidence evidence) throws IOException, InterruptedException;

  /**
   * What an explanation is based on.
   *
   * @param latent index of the latent
   * @param examples texts in which it fires, strongest first
   * @param raised next tokens that it promotes, strongest first
   */
  record Evidence(int latent, List<Text> examples, List<String> raised) {
    /** Copies the lists. */
    public Evidence {
      examples = List.copyOf(examples);
      raised = List.copyOf(raised);
    }
  }

  /**
   * A text in which a latent fires.
   *
   * @param tokens as text, in order
   * @param activations z at each token
   */
  record Text(List<String> tokens, List<Double> activations) {
    /**
     * Copies the lists.
     *
     * @throws IllegalArgumentException if the numbers of activations and tokens differ
     */
    public Text {
      tokens = List.copyOf(tokens);
      activations = List.copyOf(activations);
      if (tokens.size() != activations.size()) {
        throw new IllegalArgumentException(
            "expected one activation per token, got %d for %d; pass both complete"
                .formatted(activations.size(), tokens.size()));
      }
    }
  }
}
