package io.faithfulsae.models.explain;

import java.io.IOException;
import java.util.List;

/**
 * Says from an explanation alone in which snippets of text a latent fires. Nothing here calls one
 * unless the user asks for it.
 */
public interface Detector {

  /**
   * Judges snippets.
   *
   * @param explanation of a latent
   * @param snippets texts, in which tokens are not marked
   * @return for each snippet whether the latent should fire in it; empty if no answer could be read
   * @throws IOException if no answer came; the message says why
   * @throws InterruptedException if the thread was interrupted while it waited
   */
  List<Boolean> detect(String explanation, List<String> snippets)
      throws IOException, InterruptedException;
}
