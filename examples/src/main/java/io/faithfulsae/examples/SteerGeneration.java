package io.faithfulsae.examples;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.Intervention;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Steers a language model: adds a multiple of a latent's decoder direction to its residual stream
 * while it generates text, then sets the latent to 0 instead.
 */
public final class SteerGeneration {
  private static final int LENGTH = 40;

  private SteerGeneration() {}

  /**
   * Runs it.
   *
   * @param args the folder that {@link TrainOnModel} wrote, a latent, such as one printed by {@link
   *     ExplainSentence}, and a strength, such as 10
   */
  public static void main(String[] args) throws IOException {
    Path folder = Path.of(args[0]).resolve("model");
    int latent = Integer.parseInt(args[1]);
    double strength = Double.parseDouble(args[2]);
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder);
        Sae sae = Sae.load(Path.of(args[0]).resolve("sae"), backend)) {
      int[] prompt = tokenizer.encode(tokenizer.decode(model.bosToken()) + "once upon a time");
      List<Intervention> steering = List.of(Intervention.add(sae, latent, strength));
      try (Decoder decoder = model.decoder(1, LENGTH, steering)) {
        decoder.intervene(false);
        System.out.println("without: " + tokenizer.decode(generate(decoder, prompt)));
        decoder.intervene(true);
        System.out.println("with:    " + tokenizer.decode(generate(decoder, prompt)));
      }
      List<Intervention> ablation = List.of(Intervention.ablate(sae, latent));
      try (Decoder decoder = model.decoder(1, LENGTH, ablation)) {
        System.out.println("ablated: " + tokenizer.decode(generate(decoder, prompt)));
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
