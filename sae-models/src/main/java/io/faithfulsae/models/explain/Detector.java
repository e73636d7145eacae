package io.faithfulsae.models.explain;

import java.io.IOException;
import java.util.List;

/**
 * Says in which snippets a latent fires, given only its explanation. Never called unless the user
 * requests it.
 */
public interface Detector {

  /**
   * Judges snippets.
   *
   * @param explanation of a latent
   * @param snippets texts without marked tokens
   * @return for each snippet whether the latent should fire in it; empty if the answer was invalid
   * @throws IOException if there was no answer; the message says why
   * @throws InterruptedException if the thread was interrupted while waiting
   */
  List<Boolean> detect(String explanation, List<String> snippets)
      throws IOException, InterruptedException;
}
