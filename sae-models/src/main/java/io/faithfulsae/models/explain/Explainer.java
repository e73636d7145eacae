package io.faithfulsae.models.explain;

import java.io.IOException;
import java.util.List;

/** Names a latent from where it fires. Nothing here calls one unless the user asks for it. */
public interface Explainer {

  /**
   * Says in a short phrase what a latent stands for.
   *
   * @throws IOException if no answer came; the message says why
   * @throws InterruptedException if the thread was interrupted while it waited
   */
  String explain(Evidence evidence) throws IOException, InterruptedException;

  /**
   * What an explanation is made from.
   *
   * @param latent its number
   * @param examples texts in which it fires, strongest first
   * @param raised next tokens that it speaks for, strongest first
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
   * @param tokens as text, one after the other
   * @param activations z at each token
   */
  record Text(List<String> tokens, List<Double> activations) {
    /**
     * Copies the lists.
     *
     * @throws IllegalArgumentException if there are not as many activations as tokens
     */
    public Text {
      tokens = List.copyOf(tokens);
      activations = List.copyOf(activations);
      if (tokens.size() != activations.size()) {
        throw new IllegalArgumentException(
            "expected an activation for each token, got %d for %d; give both whole"
                .formatted(activations.size(), tokens.size()));
      }
    }
  }
}
