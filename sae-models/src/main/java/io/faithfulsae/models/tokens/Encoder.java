package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.util.Locale;

/** Makes tokens of text. */
record Encoder(Tokenizer tokenizer, boolean lowerCase) {

  int[] encode(String text) {
    return tokenizer.encode(lowerCase ? text.toLowerCase(Locale.ROOT) : text);
  }

  /** A document of its own: where EOS is the BOS of the next document as well, it stands once. */
  int[] document(String text) {
    return withBos(encode(text));
  }

  /** Tokens behind a BOS, if they have none. */
  int[] withBos(int[] tokens) {
    int bos = tokenizer.bosToken();
    int end = tokens.length;
    if (bos == tokenizer.eosToken() && end > 1 && tokens[end - 1] == bos) {
      end--;
    }
    boolean begun = end > 0 && tokens[0] == bos;
    int[] document = new int[begun ? end : end + 1];
    document[0] = bos;
    System.arraycopy(tokens, begun ? 1 : 0, document, 1, document.length - 1);
    return document;
  }
}
