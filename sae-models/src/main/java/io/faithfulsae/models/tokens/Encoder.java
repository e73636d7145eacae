package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.util.Locale;

/**
 * Tokenizes documents.
 *
 * @param keepsEnd whether token ids that end with an EOS keep it if EOS and BOS are the same token.
 *     Concatenated documents need only one between two of them; a document that stands alone would
 *     lose the EOS that was sampled, and an empty one would lose everything
 */
record Encoder(Tokenizer tokenizer, boolean lowerCase, boolean keepsEnd) {

  int[] encode(String text) {
    return tokenizer.encode(lowerCase ? text.toLowerCase(Locale.ROOT) : text);
  }

  /**
   * Tokenizes a document. If EOS and BOS are the same token, a final EOS is dropped, since the next
   * document starts with it. Text does not record whether it ended with an EOS, so none is added.
   */
  int[] document(String text) {
    return withBos(encode(text), false);
  }

  /** Prepends a BOS unless there is one. */
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
