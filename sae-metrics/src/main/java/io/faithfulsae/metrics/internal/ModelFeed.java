package io.faithfulsae.metrics.internal;

import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.FakeFeatures.Options;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.stream.Stream;

/** What a language model makes of noise, or of text. */
abstract class ModelFeed implements SequenceFeed {
  private final HookRows rows;

  private ModelFeed(HookRows rows) {
    this.rows = rows;
  }

  final void run(Iterator<int[]> sequences, Taker taker) {
    SequenceBatches batches = new SequenceBatches(sequences, SequenceBatches.TOKENS);
    while (batches.hasNext()) {
      int[][] tokens = batches.next();
      rows.read(tokens);
      taker.take(rows, tokens.length, tokens[0].length);
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
      public void run(Taker taker) {
        run(
            new NoiseSequences(
                options.noiseTokens(),
                options.contextLength(),
                model.vocabularySize(),
                model.bosToken(),
                options.seed()),
            taker);
      }

      @Override
      public IllegalArgumentException nothing() {
        return new IllegalArgumentException(
            "expected a filter that leaves some of the noise, got "
                + options.filter()
                + "; let more through");
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
      public void run(Taker taker) throws IOException {
        try (Stream<int[]> sequences = text.open(0)) {
          run(
              sequences
                  .filter(s -> s.length >= 2)
                  .limit(sequences())
                  .map(s -> Arrays.copyOf(s, Math.min(s.length, options.contextLength())))
                  .iterator(),
              taker);
        }
      }

      @Override
      public IllegalArgumentException nothing() {
        return new IllegalArgumentException(
            "expected text of which the filter leaves some, got none from "
                + text.description()
                + "; give more text, or another filter");
      }
    };
  }
}
