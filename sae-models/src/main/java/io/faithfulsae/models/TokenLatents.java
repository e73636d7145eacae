package io.faithfulsae.models;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Latents;
import io.faithfulsae.Latents.Active;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import java.util.ArrayList;
import java.util.List;

/**
 * A token of a text, and the latents that fire on it; {@link OnnxModel#explain} is the short way to
 * those of a text.
 *
 * @param token its id
 * @param text what it stands for, with the space before it if it has one
 * @param latents the strongest first
 */
public record TokenLatents(int token, String text, List<Active> latents) {

  /** Copies the list. */
  public TokenLatents {
    latents = List.copyOf(latents);
  }

  /**
   * Runs a model on a text after BOS, and an SAE on the activations at its hook point.
   *
   * @param sae whose metadata name the hook point
   * @param model that the SAE was trained on
   * @param tokenizer of that model
   * @param text at least one token long
   * @return one for each token, without BOS
   * @throws IllegalArgumentException if the text has no token, or with BOS more than the model's
   *     context length, or the SAE is of another width
   * @throws IllegalStateException if the SAE does not say where it belongs; see {@link
   *     Sae#hookPoint}
   */
  public static List<TokenLatents> of(
      Sae sae, LanguageModel model, Tokenizer tokenizer, String text) {
    return of(sae, model, sae.hookPoint(), tokenizer, text);
  }

  /** The same at a hook point of the caller's choice. */
  public static List<TokenLatents> of(
      Sae sae, LanguageModel model, HookPoint hook, Tokenizer tokenizer, String text) {
    int[] tokens = withBos(model, tokenizer.encode(text));
    try (ActivationBatch rows =
        ActivationBatch.allocate(sae.backend(), tokens.length, model.width(hook))) {
      model.activations(hook, new int[][] {tokens}, rows.data());
      rows.rows(tokens.length);
      try (Latents latents = sae.encode(rows)) {
        List<TokenLatents> all = new ArrayList<>();
        for (int i = 1; i < tokens.length; i++) {
          all.add(new TokenLatents(tokens[i], tokenizer.decode(tokens[i]), latents.row(i)));
        }
        return all;
      }
    }
  }

  private static int[] withBos(LanguageModel model, int[] text) {
    int most = model.contextLength() - 1;
    if (text.length < 1 || text.length > most) {
      throw new IllegalArgumentException(
          Expected.message(
              "a text of 1 to " + most + " tokens", text.length, "split it, or write something"));
    }
    int[] tokens = new int[text.length + 1];
    tokens[0] = model.bosToken();
    System.arraycopy(text, 0, tokens, 1, text.length);
    return tokens;
  }
}
