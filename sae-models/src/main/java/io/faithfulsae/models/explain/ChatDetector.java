package io.faithfulsae.models.explain;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Asks a chat model on any server that implements OpenAI's protocol ({@code POST
 * BASE/chat/completions}) in which snippets a latent should fire.
 *
 * <p>The model is asked for a list of 1s and 0s; the last such list in the answer counts, so the
 * model may think aloud first. An answer without a list, or with one of the wrong length, is
 * invalid.
 */
public final class ChatDetector implements Detector {
  private static final int ANSWER_TOKENS = 400;
  private static final Pattern LIST = Pattern.compile("\\[\\s*[01](?:\\s*,\\s*[01])*\\s*]");
  private static final String TASK =
      """
      You study a feature of a language model. You get a phrase that says what the feature stands for, and some texts. \
      For each text say whether the feature is active somewhere in it: 1 if it is, 0 if it is not. \
      Answer with a list of these numbers in the order of the texts, such as [0, 1, 1], and nothing else.""";

  private final ChatClient client;

  /**
   * Does not connect yet.
   *
   * @param base such as {@code http://localhost:8000/v1}
   * @param model the model's name on that server
   * @param key sent as a bearer token; null if the server needs none
   * @param timeout per answer
   * @throws IllegalArgumentException if the base is not an http or https address
   */
  public ChatDetector(URI base, String model, @Nullable String key, Duration timeout) {
    this.client = new ChatClient(base, model, key, timeout);
  }

  @Override
  public List<Boolean> detect(String explanation, List<String> snippets)
      throws IOException, InterruptedException {
    return read(client.ask(TASK, prompt(explanation, snippets), ANSWER_TOKENS), snippets.size());
  }

  private static String prompt(String explanation, List<String> snippets) {
    StringBuilder prompt = new StringBuilder("The feature: ").append(explanation).append('\n');
    for (int i = 0; i < snippets.size(); i++) {
      prompt.append("Text %d: %s\n".formatted(i + 1, snippets.get(i)));
    }
    return prompt.toString();
  }

  private static List<Boolean> read(String answer, int wanted) {
    String list = "";
    Matcher lists = LIST.matcher(answer);
    while (lists.find()) {
      list = lists.group();
    }
    List<Boolean> said =
        list.chars().filter(c -> c == '0' || c == '1').mapToObj(c -> c == '1').toList();
    return said.size() == wanted ? said : List.of();
  }
}
