package io.faithfulsae.examples;

import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * Steers a language model: adds a multiple of a latent's decoder direction to its residual stream
 * while it generates text.
 */
public final class SteerGeneration {
  private static final int LENGTH = 40;

  private SteerGeneration() {}

  /**
   * Runs it.
   *
   * @param args the folder that {@link TrainOnModel} wrote, a latent, such as one printed by {@link
   *     ExplainSentence}, and a coefficient, such as 10
   */
  public static void main(String[] args) throws IOException {
    Path folder = Path.of(args[0]).resolve("model");
    int latent = Integer.parseInt(args[1]);
    double coefficient = Double.parseDouble(args[2]);
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder);
        Sae sae = Sae.load(Path.of(args[0]).resolve("sae"), backend)) {
      HookPoint hook = sae.hookPoint();
      int[] prompt = tokenizer.encode(tokenizer.decode(model.bosToken()) + "once upon a time");
      try (Decoder decoder = model.decoder(1, LENGTH, hook)) {
        System.out.println("without: " + tokenizer.decode(generate(decoder, prompt)));
        decoder.steer(sae.decoderDirection(latent), coefficient);
        System.out.println("with:    " + tokenizer.decode(generate(decoder, prompt)));
      }
    }
  }

  /** Greedy decoding: after the prompt, always takes the most likely token. */
  private static int[] generate(Decoder decoder, int[] prompt) {
    decoder.start(1);
    int[] tokens = Arrays.copyOf(prompt, LENGTH);
    for (int at = 0; at < LENGTH - 1; at++) {
      decoder.step(new int[] {tokens[at]});
      if (at + 1 >= prompt.length) {
        FloatBuffer logits = decoder.logits();
        var byLogit = Comparator.comparing((Integer token) -> logits.get(token));
        tokens[at + 1] = IntStream.range(0, logits.limit()).boxed().max(byLogit).orElseThrow();
      }
    }
    return tokens;
  }
}
