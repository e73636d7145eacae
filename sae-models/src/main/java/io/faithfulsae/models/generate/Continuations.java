package io.faithfulsae.models.generate;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Samples how a model continues a prompt; see {@link FaithfulDataset#continuations}. */
final class Continuations {
  private Continuations() {}

  static List<int[]> sample(
      LanguageModel model, Decoder decoder, int[] prompt, GenerationConfig config) {
    Expected.inRange(
        "tokens of the prompt", prompt.length, 1, config.maxLength() - 1, "use a longer maxLength");
    decoder.start(config.batch());
    decoder.temperature(config.temperature());
    Sampler sampler = new Sampler(model.vocabularySize(), config.topP());
    List<Text> texts = new ArrayList<>();
    IntStream.range(0, config.batch()).forEach(i -> texts.add(new Text(i, prompt, config)));
    List<Text> active = new ArrayList<>(texts);
    for (int at = 0; !active.isEmpty(); at++) {
      int place = at;
      decoder.step(active.stream().mapToInt(text -> text.tokens[place]).toArray());
      if (at + 1 >= prompt.length) {
        extend(active, sampler, decoder, model.eosToken());
      }
    }
    return texts.stream().map(text -> Arrays.copyOf(text.tokens, text.length)).toList();
  }

  /** Samples a token for each text; those that end leave their row to the last one. */
  private static void extend(List<Text> active, Sampler sampler, Decoder decoder, int eos) {
    FloatBuffer probabilities = decoder.probabilities();
    for (int row = active.size() - 1; row >= 0; row--) {
      Text text = active.get(row);
      int token = sampler.draw(probabilities, row, text.random.nextDouble());
      text.tokens[text.length++] = token;
      if (token == eos || text.length == text.tokens.length) {
        decoder.drop(row);
        active.set(row, active.get(active.size() - 1));
        active.remove(active.size() - 1);
      }
    }
  }

  private static final class Text {
    private final Rng random;
    private final int[] tokens;
    private int length;

    Text(int number, int[] prompt, GenerationConfig config) {
      this.random = new Rng(Purpose.RECORDS, config.seed(), number);
      this.tokens = Arrays.copyOf(prompt, config.maxLength());
      this.length = prompt.length;
    }
  }
}
