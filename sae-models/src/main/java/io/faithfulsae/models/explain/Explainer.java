package io.faithfulsae.models.explain;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

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
   * Asks a chat model on any server that implements OpenAI's protocol ({@code POST
   * BASE/chat/completions}); does not connect yet.
   *
   * <p>In the prompt, tokens at which the latent exceeds half of its maximum are enclosed in {@code
   * <<} and {@code >>}, as is usual in automated interpretability (Bills et al. 2023; Paulo et al.
   * 2024, 2410.13928).
   *
   * @param base such as {@code http://localhost:8000/v1}
   * @param model the model's name on that server
   * @param key sent as a bearer token; null if the server needs none
   * @param timeout per answer
   * @throws IllegalArgumentException if the base is not an http or https address
   */
  static Explainer ofChat(URI base, String model, @Nullable String key, Duration timeout) {
    return new ChatExplainer(new ChatClient(base, model, key, timeout));
  }

  /**
   * The provider of a name, from any jar on the class path.
   *
   * @throws IllegalArgumentException if there is none; the message lists all names
   * @throws IllegalStateException if one cannot be loaded, or two have the same name; the message
   *     names the classes and jars
   */
  static Provider provider(String name) {
    return Services.named(Provider.class, "explainers", List.of(), Provider::name, name);
  }

  /**
   * Makes explainers of one kind, for {@code sae dashboard --explain-with NAME:ARGUMENT}. List the
   * class in {@code META-INF/services/io.faithfulsae.models.explain.Explainer$Provider}.
   *
   * <p><b>Threads</b>: called from any thread. A new instance is made for each use.
   */
  interface Provider {

    /** The name that selects it, without a colon; {@code http} and {@code https} are taken. */
    String name();

    /**
     * Makes an explainer, which one thread calls and nobody closes.
     *
     * @param argument in the provider's own syntax; empty for none
     * @throws IllegalArgumentException if the argument is wrong
     * @throws IOException if what it names cannot be read
     */
    Explainer open(String argument) throws IOException;
  }

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
            Expected.message(
                "one activation per token",
                activations.size() + " for " + tokens.size(),
                "pass both complete"));
      }
    }
  }
}
