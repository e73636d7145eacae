package io.faithfulsae.metrics.internal;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.FakeFeatures.Options;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.stream.Stream;

/** A language model's activations on noise, or on text. */
abstract class ModelFeed implements SequenceFeed {
  private final HookRows rows;

  private ModelFeed(HookRows rows) {
    this.rows = rows;
  }

  final void run(Iterator<int[]> sequences, BatchConsumer use) {
    SequenceBatches batches = new SequenceBatches(sequences, SequenceBatches.TOKENS);
    while (batches.hasNext()) {
      int[][] tokens = batches.next();
      rows.read(tokens);
      use.accept(rows, tokens.length, tokens[0].length);
    }
  }

  /** Tokens drawn uniformly from the vocabulary. */
  static ModelFeed noise(LanguageModel model, Options options, HookRows rows) {
    return new ModelFeed(rows) {
      @Override
      public String description() {
        return "uniform over " + model.vocabularySize() + " tokens behind BOS";
      }

      @Override
      public int sequences() {
        return options.noiseSequences();
      }

      @Override
      public void run(BatchConsumer use) {
        run(
            new NoiseSequences(
                options.noiseTokens(),
                options.contextLength(),
                model.vocabularySize(),
                model.bosToken(),
                options.seed()),
            use);
      }

      @Override
      public IllegalArgumentException noRows() {
        return new IllegalArgumentException(
            Expected.message(
                "a filter that keeps some of the noise",
                options.filter(),
                "use a less strict filter"));
      }
    };
  }

  /** Ordinary text. */
  static ModelFeed text(TokenSource text, Options options, HookRows rows) {
    return new ModelFeed(rows) {
      @Override
      public String description() {
        return text.description();
      }

      @Override
      public int sequences() {
        return options.textSequences();
      }

      @Override
      public void run(BatchConsumer use) throws IOException {
        try (Stream<int[]> sequences = text.open(0)) {
          run(
              sequences
                  .filter(s -> s.length >= 2)
                  .limit(sequences())
                  .map(s -> Arrays.copyOf(s, Math.min(s.length, options.contextLength())))
                  .iterator(),
              use);
        }
      }

      @Override
      public IllegalArgumentException noRows() {
        return EncodedText.nothingKept(text);
      }
    };
  }
}
