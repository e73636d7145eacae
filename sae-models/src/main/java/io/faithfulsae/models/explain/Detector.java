package io.faithfulsae.models.explain;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Says in which snippets a latent fires, given only its explanation. Never called unless the user
 * requests it.
 */
public interface Detector {

  /**
   * Labels snippets.
   *
   * @param explanation of a latent
   * @param snippets texts without marked tokens
   * @return for each snippet whether the latent should fire in it; empty if the answer was invalid
   * @throws IOException if there was no answer; the message says why
   * @throws InterruptedException if the thread was interrupted while waiting
   */
  List<Boolean> detect(String explanation, List<String> snippets)
      throws IOException, InterruptedException;

  /**
   * Asks a chat model on any server that implements OpenAI's protocol ({@code POST
   * BASE/chat/completions}); does not connect yet.
   *
   * <p>The model is asked for a list of 1s and 0s; the last such list in the answer counts, so the
   * model may think aloud first. An answer without a list, or with one of the wrong length, is
   * invalid.
   *
   * @param base such as {@code http://localhost:8000/v1}
   * @param model the model's name on that server
   * @param key sent as a bearer token; null if the server needs none
   * @param timeout per answer
   * @throws IllegalArgumentException if the base is not an http or https address
   */
  static Detector ofChat(URI base, String model, @Nullable String key, Duration timeout) {
    return new ChatDetector(new ChatClient(base, model, key, timeout));
  }
}
