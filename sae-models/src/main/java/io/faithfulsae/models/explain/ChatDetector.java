package io.faithfulsae.models.explain;

import java.io.IOException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** {@link Detector#ofChat}. */
final class ChatDetector implements Detector {
  private static final int ANSWER_TOKENS = 400;
  private static final Pattern LIST = Pattern.compile("\\[\\s*[01](?:\\s*,\\s*[01])*\\s*]");
  private static final String TASK =
      """
      You study a feature of a language model. You get a phrase that says what the feature stands for, and some texts. \
      For each text say whether the feature is active somewhere in it: 1 if it is, 0 if it is not. \
      Answer with a list of these numbers in the order of the texts, such as [0, 1, 1], and nothing else.""";

  private final ChatClient client;

  ChatDetector(ChatClient client) {
    this.client = client;
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
