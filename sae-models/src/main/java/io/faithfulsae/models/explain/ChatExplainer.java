package io.faithfulsae.models.explain;

import java.io.IOException;

/** {@link Explainer#ofChat}. */
final class ChatExplainer implements Explainer {
  private static final int ANSWER_TOKENS = 80;
  private static final String TASK =
      """
      You study a feature of a language model. Below are texts in which it is active; the tokens at which it is most active stand between << and >>. \
      After them come next tokens that it makes more likely. \
      Answer with one short phrase that says what the feature stands for, and nothing else.""";

  private final ChatClient client;

  ChatExplainer(ChatClient client) {
    this.client = client;
  }

  @Override
  public String explain(Evidence evidence) throws IOException, InterruptedException {
    return client.ask(TASK, prompt(evidence), ANSWER_TOKENS);
  }

  /** The examples as text. */
  static String prompt(Evidence evidence) {
    StringBuilder prompt = new StringBuilder();
    int number = 1;
    for (Text text : evidence.examples()) {
      prompt.append("Text ").append(number++).append(": ").append(marked(text)).append('\n');
    }
    if (!evidence.raised().isEmpty()) {
      prompt.append("Next tokens: ").append(String.join(", ", evidence.raised())).append('\n');
    }
    return prompt.toString();
  }

  private static String marked(Text text) {
    double most = text.activations().stream().mapToDouble(z -> z).max().orElse(0);
    StringBuilder marked = new StringBuilder();
    boolean open = false;
    for (int t = 0; t < text.tokens().size(); t++) {
      boolean fires = most > 0 && text.activations().get(t) > most / 2;
      if (fires != open) {
        marked.append(fires ? "<<" : ">>");
        open = fires;
      }
      marked.append(text.tokens().get(t));
    }
    return marked.append(open ? ">>" : "").toString().strip();
  }
}
