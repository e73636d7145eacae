package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.util.Locale;

/**
 * Makes tokens of text.
 *
 * @param keepsEnd whether token ids that end with an EOS keep it where EOS and BOS are one token.
 *     Documents that are put end to end need it once between two of them; one that is looked at on
 *     its own would lose what was sampled, and an empty one all of it
 */
record Encoder(Tokenizer tokenizer, boolean lowerCase, boolean keepsEnd) {

  int[] encode(String text) {
    return tokenizer.encode(lowerCase ? text.toLowerCase(Locale.ROOT) : text);
  }

  /**
   * A document of its own: where EOS is the BOS of the next document as well, it stands once. Text
   * does not say whether it ended with an EOS, so that none is made up.
   */
  int[] document(String text) {
    return withBos(encode(text), false);
  }

  /** Tokens behind a BOS, if they have none. */
  int[] withBos(int[] tokens) {
    return withBos(tokens, keepsEnd);
  }

  private int[] withBos(int[] tokens, boolean keepEnd) {
    int bos = tokenizer.bosToken();
    int end = tokens.length;
    if (!keepEnd && bos == tokenizer.eosToken() && end > 1 && tokens[end - 1] == bos) {
      end--;
    }
    boolean begun = end > 0 && tokens[0] == bos;
    int[] document = new int[begun ? end : end + 1];
    document[0] = bos;
    System.arraycopy(tokens, begun ? 1 : 0, document, 1, document.length - 1);
    return document;
  }
}
